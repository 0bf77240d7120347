"""A reduced form of the item vectors: on so few axes that scanning them is cheap. Numpy and FAISS.

Its inner products are nearly those of the vectors, and by far the most of the time of a scan is reading: it chooses
whom the exact inner products are computed for.
"""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from models.types import Matrix, Vector

# What users ask for counts beside what items are: of .1, .3, 1 and 3 the best on the demo's users.
_QUERIES_WEIGH = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """Item vectors on a few axes.

    Attributes:
        axes: Orthonormal, shape `(rank, dim)`.
        items: The items along them, shape `(n_items, rank)`.
    """

    axes: Matrix
    items: Matrix

    def scores(self, query: Vector) -> Vector:
        """Returns about the inner product of each item with the query, shape `(n_items,)`."""
        return self.items @ (self.axes @ query)

    def holds(self, row: int, vector: Vector) -> bool:
        """Says whether a row is this vector reduced, as far as float32 can tell."""
        reduced = self.axes @ vector
        return bool(np.allclose(self.items[row], reduced, rtol=0, atol=1e-4 * max(1.0, float(np.linalg.norm(vector)))))

    def to_faiss(self) -> Any:  # noqa: ANN401  # faiss ships no types
        """Returns it as FAISS' chain of a linear transform and a flat index."""
        rank, dim = self.axes.shape
        turn = faiss.LinearTransform(dim, rank, False)
        faiss.copy_array_to_vector(np.ascontiguousarray(self.axes).ravel(), turn.A)
        turn.is_trained = True
        flat = faiss.IndexFlatIP(rank)
        flat.add(self.items)
        chain = faiss.IndexPreTransform(flat)
        chain.prepend_transform(turn)  # FAISS' Python layer keeps both alive
        return chain


def reduce(vectors: Matrix, rank: int, queries: Matrix | None = None) -> Reduction:
    """Returns the vectors on the principal axes of items and queries, not centred: inner products stay what they are.

    Args:
        vectors: Shape `(n_items, dim)`.
        rank: How many axes; at most `dim` count.
        queries: Such as the vectors will be searched with, shape `(n, dim)`; None where there are none to go by.
    """
    energy = _energy(vectors) if queries is None else _energy(vectors) + _QUERIES_WEIGH * _energy(queries)
    _, axes = np.linalg.eigh(energy)
    first: Matrix = np.ascontiguousarray(axes[:, ::-1][:, :rank].T.astype(np.float32))
    return Reduction(first, vectors @ first.T)


def _energy(vectors: Matrix) -> NDArray[np.float64]:
    """Returns XᵀX, scaled to trace 1 where there is anything."""
    energy = (vectors.T @ vectors).astype(np.float64)
    return energy / max(float(np.trace(energy)), 1e-30)


def from_faiss(chain: Any) -> Reduction | None:  # noqa: ANN401  # faiss ships no types
    """Returns what `to_faiss` made; None where it is something else."""
    if not isinstance(chain, faiss.IndexPreTransform) or chain.chain.size() != 1:
        return None
    turn, flat = faiss.downcast_VectorTransform(chain.chain.at(0)), faiss.downcast_index(chain.index)
    if not isinstance(flat, faiss.IndexFlatIP) or turn.have_bias or turn.A.size() != turn.d_in * turn.d_out:
        return None
    axes: Matrix = faiss.vector_to_array(turn.A).reshape(turn.d_out, turn.d_in)
    # A copy: FAISS' own memory starts at an address that slows BLAS down.
    return Reduction(axes, flat.reconstruct_n(0, flat.ntotal))
