"""What texts say before anything is learnt from interactions: embeddings and lexical vectors, looked up by text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.lexical import Lexicon
from models.training.lexical import fit_lexicon
from models.types import Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of a catalogue's items and of what users wrote.

    Attributes:
        embeddings: Of the items, unit rows, shape `(n_items, dim)`.
        lexicon: Of the items' texts; None where the texts hold too few terms.
        item_lexical: Lexical vectors of the items, shape `(n_items, lexical_dim)`; lexical_dim = 0 without a lexicon.
        text_vectors: [embedding ; lexical vector] of each distinct user text, shape `(n_texts, dim + lexical_dim)`.
        text_rows: Row of each user text, as the interactions have it.
    """

    embeddings: Matrix
    lexicon: Lexicon | None
    item_lexical: Matrix
    text_vectors: Matrix
    text_rows: Mapping[str, int]

    @property
    def n_items(self) -> int:
        """Items of the catalogue."""
        return len(self.embeddings)

    def item_meaning(self) -> Matrix:
        """Returns [embedding ; lexical vector] of each item, shape `(n_items, dim + lexical_dim)`."""
        return np.hstack([self.embeddings, self.item_lexical])

    def texts(self, texts: Sequence[str]) -> Matrix:
        """Returns the vectors of user texts, shape `(n, dim + lexical_dim)`; texts that say nothing are left out."""
        rows = [self.text_rows[text] for text in texts if text in self.text_rows]
        return self.text_vectors[rows]


def make_features(
    item_texts: Sequence[str], embeddings: Matrix, *, user_texts: Mapping[str, str], user_embeddings: Matrix, seed: int
) -> Features:
    """Fits the lexicon on the catalogue's texts and joins both kinds of vectors.

    Args:
        item_texts: Clean, in row order.
        embeddings: Their encodings, shape `(n_items, dim)`.
        user_texts: The clean form of each distinct text that users wrote.
        user_embeddings: Encodings of its values, in order, shape `(n_texts, dim)`.
        seed: Of the lexicon's SVD.
    """
    lexicon = fit_lexicon(item_texts, seed=seed)
    rows = {text: row for row, text in enumerate(user_texts)}
    if lexicon is None:
        none = np.empty((len(embeddings), 0), np.float32)
        return Features(embeddings, None, none, user_embeddings, rows)
    vectors = np.hstack([user_embeddings, lexicon.vectors(list(user_texts.values()))])
    return Features(embeddings, lexicon, lexicon.vectors(item_texts), vectors, rows)
