"""Texts as the encoder alone reads them, nothing learnt: what baselines may know, and what the service is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.types import Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Encodings:
    """Embeddings of every text there is.

    Attributes:
        items: Of the items, unit rows, shape `(n_items, dim)`.
        clean: The clean form of each distinct text that users wrote; texts that say nothing are absent.
        users: Of the clean forms, in order, shape `(n_texts, dim)`.
        rows: Row of each user text in `users`.
    """

    items: Matrix
    clean: Mapping[str, str]
    users: Matrix
    rows: Mapping[str, int]

    @property
    def n_items(self) -> int:
        """Items of the catalogue."""
        return len(self.items)

    def said(self, texts: Sequence[str]) -> list[str]:
        """Returns those of a user's texts that say anything."""
        return [text for text in texts if text in self.rows]

    def of_texts(self, texts: Sequence[str]) -> Matrix:
        """Returns the embeddings of a user's texts, shape `(t, dim)`; texts that say nothing are left out."""
        return self.users[[self.rows[text] for text in self.said(texts)]]


def encodings_of(items: Matrix, clean: Mapping[str, str], users: Matrix) -> Encodings:
    """Returns the encodings with their rows.

    Args:
        items: Of the items, shape `(n_items, dim)`.
        clean: The clean form of each distinct text that users wrote.
        users: Of the clean forms, in order, shape `(n_texts, dim)`.
    """
    return Encodings(items, clean, users, {text: row for row, text in enumerate(clean)})
