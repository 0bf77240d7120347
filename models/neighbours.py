"""Which items are consumed together: each item's nearest others by the cosine of their users. Numpy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.types import Matrix, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest others of each item.

    Attributes:
        rows: Shape `(n_items, m)`; -1 fills the rows of items with fewer.
        cosines: |users of both| / √(|users of one|·|users of the other|), shape `(n_items, m)`.
    """

    rows: NDArray[np.int32]
    cosines: Matrix

    def between(self, items: Rows, candidates: Rows) -> Matrix:
        """Returns the cosine of each pair, 0 where they are no neighbours, shape `(len(items), len(candidates))`.

        Args:
            items: Rows; one that is past the fitted items has no neighbours.
            candidates: Distinct rows.
        """
        found = np.zeros((len(items), len(candidates)), np.float32)
        fitted = np.flatnonzero(items < len(self.rows))
        if not len(fitted) or not len(candidates):
            return found
        known = items[fitted]
        place = places_among(candidates, self.rows[known])
        item, neighbour = np.nonzero(place >= 0)
        found[fitted[item], place[item, neighbour]] = self.cosines[known[item], neighbour]
        return found


def places_among(candidates: Rows, rows: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Returns where each row is among the candidates, -1 where it isn't, in the shape of `rows`.

    Args:
        candidates: Distinct rows; at least one.
        rows: At least one; -1 is nowhere.
    """
    places = np.full(int(max(rows.max(), candidates.max())) + 2, -1, np.int32)  # the last is what -1 finds
    places[candidates] = np.arange(len(candidates), dtype=np.int32)
    found: NDArray[np.int32] = places[rows]
    return found
