"""The learnt matching's item side for items that it wasn't fitted with: vectors from their text alone."""

from dataclasses import dataclass

import numpy as np

from models.fused import Parts
from models.tower import Tower
from models.types import Matrix


@dataclass(frozen=True, slots=True, eq=False)
class ItemSide:
    """Makes the vectors of new items.

    Attributes:
        projection: Onto the zero-shot part, shape `(text_dim, d₀)`.
        behaviour: From a text to the behaviour part, shape `(text_dim, d₁)`.
        history: From a text to what a consumed item adds to a user's behaviour part, shape `(text_dim, d₁)`.
        tower: Makes the tower's part.
        popularity: What is taken for theirs, as nobody consumed them yet: 0 is average, more where newness is wanted.
    """

    projection: Matrix
    behaviour: Matrix
    history: Matrix
    tower: Tower
    popularity: float = 0.0

    def parts(self, texts: Matrix) -> Parts:
        """Returns the parts of new items, one row each.

        Args:
            texts: [embedding ; lexical vector ; what its words add ; how many words] of each, shape
                `(n, text_dim + tower_dim + 1)`.
        """
        meaning, words = self._split(texts)
        return Parts(
            zero_shot=meaning @ self.projection,
            behaviour=meaning @ self.behaviour,
            tower=self.tower.items(meaning, words),
            popularity=np.full((len(texts), 1), self.popularity, np.float32),
        )

    def history_factors(self, texts: Matrix) -> Matrix:
        """Returns what new items add to the behaviour part of a user who consumed them, shape `(n, d₁)`."""
        factors: Matrix = self._split(texts)[0] @ self.history
        return factors

    def _split(self, texts: Matrix) -> tuple[Matrix, Matrix]:
        text_dim = len(self.projection)
        return texts[:, :text_dim], texts[:, text_dim:-1]
