"""What texts say before anything is learnt from interactions: embeddings and lexical vectors, looked up by text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.lexical import Lexicon, word_counts
from models.training.lexical import fit_lexicon, term_matrix
from models.types import Matrix, Rows


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTexts:
    """Texts other than the items' own, encoded.

    Attributes:
        clean: The clean form of each distinct text that users wrote.
        embeddings: Of its values in order, of the items' first words, of the queries, shape `(n_texts, dim)`.
        own_words: The clean first words of each item; empty: nothing is learnt from them.
        queries: Few words that stand for what people ask for, with the row of the item that says them.
    """

    clean: Mapping[str, str]
    embeddings: Matrix
    own_words: Sequence[str] = ()
    queries: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of a catalogue's items and of what users wrote.

    Attributes:
        embeddings: Of the items, unit rows, shape `(n_items, dim)`.
        lexicon: Of the items' texts.
        item_lexical: Lexical vectors of the items, shape `(n_items, lexical_dim)`.
        item_terms: TF-IDF of the items, unit rows, shape `(n_items, n_terms)`.
        text_vectors: [embedding ; lexical vector] of each text, shape `(n_texts, dim + lexical_dim)`.
        text_terms: TF-IDF of the texts, shape `(n_texts, n_terms)`.
        text_words: How many words each text has, shape `(n_texts, 1)`.
        text_rows: Row of each user text, as the interactions have it, and of each query.
        own_rows: Row of the text that is an item's own first words, shape `(n_items,)`; empty without them.
        queries: Few words that stand for what people ask for, with the row of the item that says them.
        item_times: When each item came to be, shape `(n_items,)`; NaN where that isn't known. None: of no item.
    """

    embeddings: Matrix
    lexicon: Lexicon
    item_lexical: Matrix
    item_terms: csr_matrix
    text_vectors: Matrix
    text_terms: csr_matrix
    text_words: Matrix
    text_rows: Mapping[str, int]
    own_rows: Rows
    queries: Mapping[str, int]
    item_times: NDArray[np.float64] | None = None

    @property
    def n_items(self) -> int:
        """Items of the catalogue."""
        return len(self.embeddings)

    def item_meaning(self) -> Matrix:
        """Returns [embedding ; lexical vector] of each item, shape `(n_items, dim + lexical_dim)`."""
        return np.hstack([self.embeddings, self.item_lexical])

    def rows_of(self, texts: Sequence[str]) -> list[int]:
        """Returns the rows of user texts; texts that say nothing are left out."""
        return [self.text_rows[text] for text in texts if text in self.text_rows]

    def texts(self, rows: Sequence[int], words: Matrix) -> Matrix:
        """Returns texts as the matching reads them, shape `(n, dim + lexical_dim + tower_dim + 1)`.

        Args:
            rows: Of the texts.
            words: What each term adds to the tower's vectors, shape `(n_terms, tower_dim)`.
        """
        by_word = self.text_terms[rows] @ words
        return np.hstack([self.text_vectors[rows], by_word, self.text_words[rows]]).astype(np.float32)


def make_features(
    item_texts: Sequence[str],
    embeddings: Matrix,
    texts: EncodedTexts,
    *,
    item_times: NDArray[np.float64] | None = None,
    seed: int,
) -> Features:
    """Fits the lexicon on the catalogue's texts and joins both kinds of vectors.

    Args:
        item_texts: Clean, in row order.
        embeddings: Their encodings, shape `(n_items, dim)`.
        texts: What users wrote, and the items' first words.
        item_times: When each item came to be, NaN where that isn't known, shape `(n_items,)`.
        seed: Of the lexicon's SVD.
    """
    lexicon = fit_lexicon(item_texts, seed=seed)
    known = [*texts.clean.values(), *texts.own_words]
    every = [*known, *texts.queries]
    query_rows = dict(zip(texts.queries, range(len(known), len(every)), strict=True))
    return Features(
        embeddings=embeddings,
        lexicon=lexicon,
        item_lexical=lexicon.vectors(item_texts),
        item_terms=term_matrix(lexicon, item_texts),
        text_vectors=np.hstack([texts.embeddings, lexicon.vectors(every)]),
        text_terms=term_matrix(lexicon, every),
        text_words=word_counts(every),
        text_rows=query_rows | {text: row for row, text in enumerate(texts.clean)},
        own_rows=np.arange(len(texts.clean), len(known), dtype=np.int64),
        queries=texts.queries,
        item_times=item_times,
    )
