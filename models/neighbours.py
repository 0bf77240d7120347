"""Which items are consumed together: each item's nearest others by the cosine of their users. Numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.types import Matrix, Rows


class Places:
    """Where rows are among some candidates.

    Args:
        candidates: Distinct rows.
        n_items: All rows are below it.
    """

    def __init__(self, candidates: Rows, n_items: int) -> None:
        self.n = len(candidates)
        self._table = np.full(n_items + 1, -1, np.int32)  # the last is what -1 finds
        self._table[candidates] = np.arange(self.n, dtype=np.int32)

    def of(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Returns the place of each row, -1 where it is no candidate, in the shape of `rows`; row -1 is nowhere."""
        found: NDArray[np.int32] = self._table[rows]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest others of each item.

    Attributes:
        rows: Shape `(n_items, m)`; -1 fills the rows of items with fewer.
        cosines: |users of both| / √(|users of one|·|users of the other|), shape `(n_items, m)`.
    """

    rows: NDArray[np.int32]
    cosines: Matrix

    def between(self, items: Rows, places: Places) -> Matrix:
        """Returns the cosine of each pair, 0 where they are no neighbours, shape `(len(items), n_candidates)`.

        Args:
            items: Rows; one that is past the fitted items has no neighbours.
            places: Of the candidates.
        """
        found = np.zeros((len(items), places.n), np.float32)
        fitted = np.flatnonzero(items < len(self.rows))
        known = items[fitted]
        place = places.of(self.rows[known])
        item, neighbour = np.nonzero(place >= 0)
        found[fitted[item], place[item, neighbour]] = self.cosines[known[item], neighbour]
        return found
