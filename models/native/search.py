"""Searches, compiled: rows are chosen by int8, a quarter of the bytes to read, and those chosen compared exactly."""

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
        to = (pointer(rows), pointer(scores))
        found = LIBRARY.recall_search(self.native, pointer(query), k, n_compared, mask, *to)
        return rows[:found], scores[:found]


def native_search(reduction: Reduction | None, vectors: Matrix) -> NativeSearch | None:
    """Returns the search, compiled; None where there is no library, or nothing reduced."""
    return None if LIBRARY is None or reduction is None else NativeSearch(reduction, vectors)


class NativeNearest:
    """Finds the nearest of unit rows.

    Args:
        rows: Shape `(n, d)`.
    """

    def __init__(self, rows: Matrix) -> None:
        self._rows, self._rounded = floats(rows), Rounded(rows)
        self._native = FFI.new("Rounded *")
        self._rounded.fill(self._native)

    def nearest(self, asked: Vector, k: int) -> tuple[Rows, Vector]:
        """Returns which rows have the largest inner products above 0, at most k, and these; best first.

        Args:
            asked: Shape `(d,)`.
            k: At most so many.
        """
        if asked.shape != self._rows.shape[1:]:
            raise ValueError(f"what is asked has shape {asked.shape}, the rows {self._rows.shape}")
        asked, found, cosines = floats(asked), np.empty(k, np.int64), np.empty(k, np.float32)
        to = (pointer(found), pointer(cosines))
        n = LIBRARY.recall_nearest(self._native, pointer(self._rows), pointer(asked), k, *to)
        return found[:n], cosines[:n]


def native_nearest(rows: Matrix) -> NativeNearest | None:
    """Returns what finds the nearest of some rows, compiled; None where there is no library, or no row."""
    return None if LIBRARY is None or not len(rows) else NativeNearest(rows)
