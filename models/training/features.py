"""What texts say before anything is learnt from interactions: embeddings and lexical vectors, looked up by text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from models.lexical import Lexicon
from models.training.lexical import fit_lexicon, term_matrix
from models.types import Matrix, Rows


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTexts:
    """Texts other than the items' own, encoded.

    Attributes:
        clean: The clean form of each distinct text that users wrote.
        embeddings: Of its values in order, then of the items' first words, shape `(n_texts, dim)`.
        own_words: The clean first words of each item; empty: nothing is learnt from them.
    """

    clean: Mapping[str, str]
    embeddings: Matrix
    own_words: Sequence[str] = ()


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
        text_rows: Row of each user text, as the interactions have it.
        own_rows: Row of the text that is an item's own first words, shape `(n_items,)`; empty without them.
    """

    embeddings: Matrix
    lexicon: Lexicon
    item_lexical: Matrix
    item_terms: csr_matrix
    text_vectors: Matrix
    text_terms: csr_matrix
    text_rows: Mapping[str, int]
    own_rows: Rows

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
        """Returns texts as the matching reads them, shape `(n, dim + lexical_dim + tower_dim)`.

        Args:
            rows: Of the texts.
            words: What each term adds to the tower's vectors, shape `(n_terms, tower_dim)`.
        """
        return np.hstack([self.text_vectors[rows], self.text_terms[rows] @ words]).astype(np.float32)


def make_features(item_texts: Sequence[str], embeddings: Matrix, texts: EncodedTexts, *, seed: int) -> Features:
    """Fits the lexicon on the catalogue's texts and joins both kinds of vectors.

    Args:
        item_texts: Clean, in row order.
        embeddings: Their encodings, shape `(n_items, dim)`.
        texts: What users wrote, and the items' first words.
        seed: Of the lexicon's SVD.
    """
    lexicon = fit_lexicon(item_texts, seed=seed)
    every = [*texts.clean.values(), *texts.own_words]
    return Features(
        embeddings=embeddings,
        lexicon=lexicon,
        item_lexical=lexicon.vectors(item_texts),
        item_terms=term_matrix(lexicon, item_texts),
        text_vectors=np.hstack([texts.embeddings, lexicon.vectors(every)]),
        text_terms=term_matrix(lexicon, every),
        text_rows={text: row for row, text in enumerate(texts.clean)},
        own_rows=np.arange(len(texts.clean), len(every), dtype=np.int64),
    )
