"""Searches, compiled: rows are chosen by int8, a quarter of the bytes to read, and those chosen compared exactly."""

from collections.abc import Sequence

import numpy as np

from models.native.arrays import Rounded, floats, halves, pointer
from models.native.library import FFI, LIBRARY
from models.reduction import Reduction
from models.types import Mask, Matrix, Rows, Vector


class NativeSearch:
    """Finds the items of the largest inner products among those that are best on a few axes.

    Args:
        reduction: Of the vectors.
        vectors: Shape `(n_items, dim)`.
    """

    def __init__(self, reduction: Reduction, vectors: Matrix) -> None:
        self._axes, self._vectors, self._items = halves(reduction.axes), floats(vectors), Rounded(reduction.items)
        self.dim = vectors.shape[1]
        self.native = FFI.new("Reduced *")
        self.native.dim, self.native.axes, self.native.vectors = self.dim, pointer(self._axes), pointer(self._vectors)
        self._items.fill(self.native.items)

    def search(self, query: Vector, k: int, n_compared: int, eligible: Mask | None) -> tuple[Rows, Vector]:
        """Returns the rows of the k largest inner products and these, best first, equal ones by row.

        Args:
            query: Shape `(dim,)`; where it holds what is no number, nothing is found.
            k: At most `n_compared`.
            n_compared: How many are compared by their whole vectors; at most the eligible items.
            eligible: Which rows may be returned, shape `(n_items,)`; None means all.
        """
        if query.shape != (self.dim,):  # it would be read past its end
            raise ValueError(f"the query has shape {query.shape}, the index dim {self.dim}")
        query, rows, scores = floats(query), np.empty(k, np.int64), np.empty(k, np.float32)
        mask = FFI.NULL if eligible is None else pointer(np.ascontiguousarray(eligible))
        compared = FFI.new("Compared *", (self.native, mask, k, n_compared))
        found = LIBRARY.recall_search(compared, pointer(query), pointer(rows), pointer(scores))
        return rows[:found], scores[:found]


def native_search(reduction: Reduction | None, vectors: Matrix) -> NativeSearch | None:
    """Returns the search, compiled; None where there is no library, or nothing reduced."""
    return None if LIBRARY is None or reduction is None else NativeSearch(reduction, vectors)


class NativeWriters:
    """Users who wrote, as the library reads them.

    Args:
        rows: What each wrote, as unit rows, shape `(n, d)`.
        nearest: So many of them count at most.
        views: In which they count: cosine ** the first number, of so many of the nearest.

    Attributes:
        native: What the library is given.
    """

    def __init__(self, rows: Matrix, nearest: int, views: Sequence[tuple[int, int]]) -> None:
        self._rows, self._rounded = floats(rows), Rounded(rows)
        self._powers, self._counted = np.array(views, np.int64).T.copy()
        self.native = FFI.new("Writers *")
        self._rounded.fill(self.native.texts)
        self.native.rows, self.native.nearest, self.native.n_views = pointer(self._rows), nearest, len(views)
        self.native.powers, self.native.counted = pointer(self._powers), pointer(self._counted)
