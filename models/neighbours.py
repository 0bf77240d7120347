"""Which items are consumed together: each item's nearest others by the cosine of their users. Numpy only."""

from dataclasses import dataclass

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
        order = np.argsort(candidates)
        in_order = candidates[order].astype(np.int32)
        near = self.rows[items[fitted]]
        place = np.minimum(np.searchsorted(in_order, near), len(in_order) - 1)
        item, neighbour = np.nonzero(in_order[place] == near)
        found[fitted[item], order[place[item, neighbour]]] = self.cosines[items[fitted]][item, neighbour]
        return found
