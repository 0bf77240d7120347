"""The item index: FAISS behind two verbs, build and search. Rows and inner products; bigger is better.

Knows no item ids. Exact ("flat"), exact among the best of a cheap scan ("reduced"), or HNSW; whatever rows are made
ineligible, a search returns min(k, eligible rows) of them, with their exact inner products.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np

from models.errors import ArtifactCorruptError
from models.native.find import Compared
from models.native.search import native_search
from models.reduction import Reduction, from_faiss, reduce
from models.types import Mask, Matrix, Rows, Vector

IndexKind = Literal["flat", "reduced", "hnsw"]

# Below this share of eligible rows an HNSW walk meets mostly ineligible ones: scanning them all is faster.
_SCAN_BELOW_SHARE = 0.1
# So many more than the k that are asked for the reduced form chooses, a share of k and never fewer than these; where
# the chosen are more than a share of the items, gathering their vectors takes as long as scanning all.
_SPARE_SHARE, _LEAST_SPARE = 0.4, 150
_REFINE_BELOW_SHARE = 0.25
# Scanning so much takes half a millisecond at most, no more than handing a search to another thread and back does.
_QUICK_BYTES = 16_000_000


class ItemIndex:
    """An index over item vectors.

    Args:
        index: A FAISS index with metric inner product: flat, or HNSW over flat storage of vectors with equalised norms;
            None beside a reduction.
        kind: Which of them.
        vectors: What it holds, shape `(n_items, dim)`.
        reduction: Of the vectors, where the kind is "reduced".

    Attributes:
        kind: Which of them.
        vectors: What it holds, in memory or mapped.
    """

    def __init__(
        self,
        index: Any,  # noqa: ANN401  # faiss ships no types
        kind: IndexKind,
        vectors: Matrix,
        reduction: Reduction | None = None,
    ) -> None:
        self._index = index
        self._reduction = reduction
        self.vectors = np.ascontiguousarray(vectors, np.float32)  # a memory map's own class makes each slice slower
        self._native = native_search(reduction, self.vectors)
        self.kind: IndexKind = kind

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Dimensions of the item vectors."""
        return int(self.vectors.shape[1])

    @property
    def is_quick(self) -> bool:
        """Whether a search isn't worth another thread."""
        scanned = self.vectors if self._reduction is None else self._reduction.items
        return self.kind != "hnsw" and scanned.nbytes <= _QUICK_BYTES

    def search(self, query: Vector, k: int, *, eligible: Mask | None = None) -> tuple[Rows, Vector]:
        """Returns the rows with the largest inner products and these, best first, equal ones by row.

        Args:
            query: Shape `(dim,)`.
            k: How many rows; there are min(k, eligible rows) in the answer.
            eligible: Which rows may be returned, shape `(n_items,)`; None means all.
        """
        n_eligible = len(self) if eligible is None else int(eligible.sum())
        k = min(k, n_eligible)
        if k == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if self.kind == "hnsw" and n_eligible >= max(k, _SCAN_BELOW_SHARE * len(self)):
            rows, scores = self._walk(query, k, eligible)
            if len(rows) == k:
                return rows, scores
        if self._reduction is not None and n_compared(k) <= _REFINE_BELOW_SHARE * n_eligible:
            return self._refine(self._reduction, query, k, eligible)
        return self._scan(query, k, eligible)

    def compared(self, k: int, eligible: Mask | None) -> Compared | None:
        """Returns what the compiled library's threads need to find what `search` does; None where they can't."""
        n_eligible = len(self) if eligible is None else int(eligible.sum())
        if self._native is None or n_compared(k) > _REFINE_BELOW_SHARE * n_eligible:
            return None
        return Compared(self._native, k, n_compared(k), eligible)

    def compared_beside(self, k: int, eligible: Mask | None) -> Compared | None:
        """Returns the same where others are searched, too: however few there are; None where there is nothing."""
        n_eligible = len(self) if eligible is None else int(eligible.sum())
        if self._native is None or not n_eligible:
            return None
        is_small = n_compared(k) > _REFINE_BELOW_SHARE * n_eligible  # `search` would scan them all
        return Compared(self._native, min(k, n_eligible), n_eligible if is_small else n_compared(k), eligible)

    def like(self, vectors: Matrix) -> "ItemIndex":
        """Returns an index over other vectors, shape `(m, dim)`: exact, or reduced on the same axes."""
        if self._reduction is None:
            return build_index(vectors, "flat", params={})
        axes = self._reduction.axes
        return ItemIndex(None, "reduced", vectors, Reduction(axes, vectors @ axes.T))

    def search_exact(self, query: Vector, k: int) -> tuple[Rows, Vector]:
        """Returns what `search` would, from all item vectors: the oracle for `ann_recall`."""
        return self._scan(query, min(k, len(self)), None)

    def holds(self, row: int, vector: Vector) -> bool:
        """Says whether the index file holds this vector for a row."""
        if self._reduction is not None:
            return self._reduction.holds(row, vector)
        return bool(np.array_equal(self._index.reconstruct(int(row))[: self.dim], vector))

    def save(self, path: Path) -> None:
        """Writes the index as a FAISS file."""
        index = self._index if self._reduction is None else self._reduction.to_faiss()
        faiss.write_index(index, str(path))

    def _walk(self, query: Vector, k: int, eligible: Mask | None) -> tuple[Rows, Vector]:
        ef_search = max(int(self._index.hnsw.efSearch), 2 * k)
        with _selector(eligible) as selector:
            parameters = faiss.SearchParametersHNSW(efSearch=ef_search, sel=selector)
            scores, rows = self._index.search(np.append(query, np.float32(0))[None], k, params=parameters)
        found = rows[0] >= 0
        return _ordered(rows[0][found], scores[0][found])

    def _refine(self, reduction: Reduction, query: Vector, k: int, eligible: Mask | None) -> tuple[Rows, Vector]:
        """Compares with those vectors whose reduced form scores best."""
        if self._native is not None:
            return self._native.search(query, k, n_compared(k), eligible)
        rows = _best(reduction.scores(query), n_compared(k), eligible)
        rows, scores = _ordered(rows, _inner_products(self.vectors, rows, query))
        return rows[:k], scores[:k]

    def _scan(self, query: Vector, k: int, eligible: Mask | None) -> tuple[Rows, Vector]:
        """Compares with all vectors, by BLAS: for one query that takes half of what FAISS' own scan takes."""
        scores = self.vectors @ query
        rows = _best(scores, k, eligible)
        rows, scores = _ordered(rows, scores[rows])
        return rows[:k], scores[:k]


def n_compared(k: int) -> int:
    """Returns how many vectors a reduced index compares exactly to find k."""
    return k + max(int(_SPARE_SHARE * k), _LEAST_SPARE)


@contextmanager
def _selector(eligible: Mask | None) -> Iterator[Any]:
    """Yields FAISS' selector of the eligible rows; FAISS keeps only a pointer, so the bits live as long."""
    if eligible is None:
        yield None
        return
    bits = np.packbits(eligible, bitorder="little")
    yield faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))


def build_index(
    vectors: Matrix, kind: IndexKind, *, params: Mapping[str, int], queries: Matrix | None = None
) -> ItemIndex:
    """Builds an index.

    Args:
        vectors: Item vectors, shape `(n_items, dim)`.
        kind: "flat" searches exactly, "reduced" among the best of their principal components, "hnsw" a graph.
        params: For "reduced": `rank`; for "hnsw": `m`, `ef_construction`, `ef_search`.
        queries: Such as it will be searched with, shape `(n, dim)`: a reduction keeps what they ask for, too.
    """
    dim = vectors.shape[1]
    if kind == "reduced":
        reduction = reduce(vectors, params["rank"], queries)
        return ItemIndex(None, kind, vectors, reduction)
    if kind == "flat":
        index = faiss.IndexFlatIP(dim)
    else:
        index = faiss.IndexHNSWFlat(dim + 1, params["m"], faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = params["ef_construction"]
        index.hnsw.efSearch = params["ef_search"]
    index.add(np.ascontiguousarray(vectors) if kind == "flat" else _equalised(vectors))
    return ItemIndex(index, kind, vectors)


def _equalised(vectors: Matrix) -> Matrix:
    """Returns the vectors with one dimension more that gives all the same norm, shape `(n, dim + 1)`.

    A graph of unequal norms leads every walk to the longest vectors; a query has 0 there, so inner products stay
    (Bachrach et al. 2014).
    """
    squares = (vectors * vectors).sum(axis=1, dtype=np.float64)
    missing = np.sqrt(squares.max(initial=0) - squares)
    return np.hstack([vectors, missing[:, None]]).astype(np.float32)


def load_index(path: Path, kind: IndexKind, vectors: Matrix) -> ItemIndex:
    """Opens an index file, memory-mapped where FAISS can.

    Args:
        path: What `save` wrote.
        kind: As the manifest says.
        vectors: The item vectors, shape `(n_items, dim)`: FAISS' own copy starts at an address that slows BLAS down.

    Raises:
        ArtifactCorruptError: The file is no such index.
    """
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise ArtifactCorruptError(f"{path.name} is no FAISS index ({error}); rebuild the artifact") from error
    n_items, dim = vectors.shape
    expected = {"flat": faiss.IndexFlatIP, "reduced": faiss.IndexPreTransform, "hnsw": faiss.IndexHNSWFlat}[kind]
    width = dim + 1 if kind == "hnsw" else dim  # the norms are equalised
    if not isinstance(index, expected) or (index.d, index.ntotal) != (width, n_items):
        raise ArtifactCorruptError(
            f"{path.name} is a {type(index).__name__} of {index.ntotal} × {index.d}, the manifest says {kind},"
            f" {n_items} × {dim}; rebuild the artifact"
        )
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise ArtifactCorruptError(f"{path.name} has metric {index.metric_type}, not inner product; rebuild it")
    if kind != "reduced":
        return ItemIndex(index, kind, vectors)
    reduction = from_faiss(index)
    if reduction is None:
        raise ArtifactCorruptError(f"{path.name} is no linear reduction to a flat index; rebuild the artifact")
    return ItemIndex(None, kind, vectors, reduction)  # FAISS' own copy goes: it would be in memory twice


def _best(scores: Vector, k: int, eligible: Mask | None) -> Rows:
    """Returns the eligible rows of the k largest scores, and of those that equal the last of them, by row.

    Args:
        scores: One a row; of ineligible rows they are overwritten.
        k: At most the number of eligible rows.
        eligible: None means all.
    """
    if eligible is not None:
        scores[~eligible] = -np.inf
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
    rows = np.flatnonzero(scores >= threshold)
    return rows if eligible is None else rows[eligible[rows]]


def _inner_products(vectors: Matrix, rows: Rows, query: Vector) -> Vector:
    """Returns the query's inner product with some of the vectors, shape `(len(rows),)`, none of which is copied."""
    found, query = np.empty(len(rows), np.float32), np.ascontiguousarray(query, np.float32)
    rows = np.ascontiguousarray(rows, np.int64)
    pointers = (faiss.swig_ptr(array) for array in (found, query, vectors, rows))
    faiss.fvec_inner_products_by_idx(*pointers, vectors.shape[1], 1, len(rows))
    return found


def _ordered(rows: Rows, scores: Vector) -> tuple[Rows, Vector]:
    """Returns both sorted by falling score, equal scores by rising row."""
    order = np.lexsort((rows, -scores))
    return rows[order].astype(np.int64), scores[order].astype(np.float32)
