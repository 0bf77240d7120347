"""The behaviour part: an item-item matrix in closed form, drawn towards what the texts say, then factorised.

L3AE (language-enhanced linear autoencoder), with features Φ of the items' texts (n, f) and interactions X (users, n):
    P₁ = (ΦΦᵀ + λ_F·I)⁻¹          C = I - P₁ / diag(P₁)                       (items reconstructed from text)
    P₂ = (XᵀX + λ·I)⁻¹            λ = λ_X + λ_E
    B  = I + λ_E·P₂C - P₂·diag(w) w = (1 + λ_E·diag(P₂C)) / diag(P₂)          (zero diagonal)
With λ_E = 0 this is EASE (Steck 2019). B has a column for an item that nobody consumed: its text's.

B is never formed. By Woodbury's identity P₁ needs the inverse of an (f, f) matrix and P₂ that of a (users, users) one,
and the factorisation only multiplies by them: memory and time grow with the items, not with their square.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, lapack, solve_triangular
from scipy.sparse import csr_matrix

from models.types import Matrix, Rows, Vector

# The (users, users) matrix of float32 takes 0.9 GB at this many; above, a seeded sample of the users is fitted on.
MAX_USERS = 15_000
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Regularisation:
    """How strongly L3AE is held.

    Attributes:
        text: λ_F.
        ridge: λ_X.
        prior: λ_E, how strongly B is drawn to what the texts say.
    """

    text: float = 20.0
    ridge: float = 10.0
    prior: float = 200.0


def history_matrix(histories: Sequence[Rows], n_items: int, *, decay: float = 1.0, longest: int = 50) -> csr_matrix:
    """Returns the users' histories as rows, shape `(n_users, n_items)`.

    Args:
        histories: Rows of consumed items, oldest first.
        n_items: Columns.
        decay: What each step back multiplies a weight by; an item consumed twice counts at its newest place.
        longest: Newest items that count.
    """
    users, items, weights = [], [], []
    for user, history in enumerate(histories):
        newest = list(dict.fromkeys(history[::-1][:longest].tolist()))
        users += [user] * len(newest)
        items += newest
        weights += [decay**step for step in range(len(newest))]
    return csr_matrix((np.array(weights, np.float32), (users, items)), shape=(len(histories), n_items))


class L3AE:
    """B as something to multiply by.

    Args:
        interactions: X, shape `(n_users, n)`; at most `MAX_USERS` of the users are used.
        features: Φ, shape `(n, f)`; f = 0 leaves the texts out.
        held: The regularisation.
        seed: Of the users drawn.
    """

    def __init__(
        self, interactions: csr_matrix, features: Matrix, *, held: Regularisation | None = None, seed: int = 0
    ) -> None:
        held = held or Regularisation()
        n_users = interactions.shape[0]
        if n_users > MAX_USERS:
            drawn = np.random.default_rng(seed).choice(n_users, MAX_USERS, replace=False)
            interactions = interactions[np.sort(drawn)]
        self.held, self._total = held, held.ridge + held.prior
        self._x, self._phi = interactions.astype(np.float32), features
        users = _gram(self._x)
        users[np.diag_indices_from(users)] += self._total
        self._s = _inverse(users)
        gram = (features.T @ features).astype(np.float64) + held.text * np.eye(features.shape[1])
        self._q = np.linalg.inv(gram).astype(np.float32)
        self._d1 = (1 - ((features @ self._q) * features).sum(axis=1)) / held.text
        self._w = self._column_weights()

    @property
    def n_items(self) -> int:
        """n, rows and columns of B."""
        return len(self._phi)

    def times(self, right: Matrix) -> Matrix:
        """Returns B·V, shape `(n, r)`."""
        drawn = self.held.prior * (right - self._p1(right / self._d1[:, None]))
        product: Matrix = right + self._p2(drawn - self._w[:, None] * right)
        return product

    def transposed_times(self, right: Matrix) -> Matrix:
        """Returns Bᵀ·V, shape `(n, r)`."""
        inner = self._p2(right)
        drawn = self.held.prior * (inner - self._p1(inner) / self._d1[:, None])
        product: Matrix = right + drawn - self._w[:, None] * inner
        return product

    def _p1(self, right: Matrix) -> Matrix:
        product: Matrix = (right - self._phi @ (self._q @ (self._phi.T @ right))) / self.held.text
        return product

    def _p2(self, right: Matrix) -> Matrix:
        product: Matrix = (right - self._x.T @ (self._s @ (self._x @ right))) / self._total
        return product

    def _column_weights(self) -> Vector:
        """Returns w; diag(XᵀSX) and diag(XᵀSX·P₁) are summed over blocks of items, S = (XXᵀ + λI)⁻¹."""
        n_users, n = self._x.shape
        reached, crossed = np.zeros(n, np.float32), np.zeros(n, np.float32)
        by_features = (self._x @ self._phi) @ self._q
        # XᵀS·XΦQ from the left or from the right, whichever takes fewer products.
        solved_features = self._s @ by_features if n > n_users else None
        for start in range(0, n, _BLOCK):
            block = slice(start, start + _BLOCK)
            own = self._x[:, block].tocoo()
            solved = own.T.tocsr() @ self._s
            reached[block] = np.bincount(own.col, own.data * solved[own.col, own.row], own.shape[1])
            through = solved @ by_features if solved_features is None else own.T.tocsr() @ solved_features
            crossed[block] = (reached[block] - (through * self._phi[block]).sum(axis=1)) / self.held.text
        d2 = (1 - reached) / self._total
        with_prior = d2 - (self._d1 - crossed) / self._total / self._d1  # diag(P₂C)
        weights: Vector = (1 + self.held.prior * with_prior) / d2
        return weights.astype(np.float32)


def factorise(model: L3AE, popularity: Vector, *, rank: int, seed: int = 0, n_iter: int = 1) -> tuple[Matrix, Matrix]:
    """Returns A, R of shape `(n, rank)` with B ≈ A·Rᵀ; popular rows, which histories hold more often, fit best.

    A randomised SVD (Halko et al. 2011) of diag(√(popularity + 1))·B, which only multiplies by B.

    Args:
        model: B.
        popularity: Of each item.
        rank: Dimensions, at most.
        seed: Of the random start.
        n_iter: Power iterations.
    """
    n = len(popularity)
    rank = min(rank, n)
    width = min(rank + 32, n)
    row_weights = np.sqrt(popularity + 1)[:, None].astype(np.float32)
    basis = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    for _ in range(n_iter + 1):
        basis = _orthonormal(row_weights * model.times(basis))
        basis = _orthonormal(model.transposed_times(row_weights * basis))
    ranged = row_weights * model.times(basis)
    # The SVD of a tall matrix, from its small Gram matrix: ranged = (ranged·V/σ)·σ·Vᵀ.
    squares, vectors = np.linalg.eigh(ranged.T.astype(np.float64) @ ranged)
    kept = np.argsort(-squares)[:rank]
    root = np.sqrt(np.sqrt(np.maximum(squares[kept], 1e-12)))
    left = (ranged @ vectors[:, kept]) / root
    right = (basis @ vectors[:, kept]) * root
    return (left / row_weights).astype(np.float32), right.astype(np.float32)


def _gram(x: csr_matrix) -> Matrix:
    """Returns XXᵀ, shape `(n_users, n_users)`, by blocks: sparse, it would be larger where users consume much."""
    gram = np.empty((x.shape[0], x.shape[0]), np.float32)
    for start in range(0, len(gram), _BLOCK):
        block = slice(start, start + _BLOCK)
        gram[block] = (x[block] @ x.T).toarray()
    return gram


def _orthonormal(matrix: Matrix) -> Matrix:
    """Returns an orthonormal basis of the columns of a tall matrix; by twice Cholesky-QR."""
    for _ in range(2):
        gram = matrix.T.astype(np.float64) @ matrix
        gram[np.diag_indices_from(gram)] += 1e-10 * np.trace(gram)
        factor = np.linalg.cholesky(gram)
        matrix = solve_triangular(factor, matrix.T, lower=True).T.astype(np.float32)
    return matrix


def _inverse(matrix: Matrix) -> Matrix:
    """Returns the inverse of a symmetric positive definite matrix through Cholesky; the matrix is overwritten."""
    factor, _ = cho_factor(matrix.T, lower=False, overwrite_a=True)
    inverse, _ = lapack.spotri(factor, lower=0, overwrite_c=1)
    # In place, as the matrix may take a gigabyte: what is above the diagonal is copied below it, block by block.
    for start in range(0, len(inverse), _BLOCK):
        block, rest = slice(start, start + _BLOCK), slice(start + _BLOCK, None)
        own = inverse[block, block]
        inverse[block, block] = np.triu(own) + np.triu(own, 1).T
        inverse[rest, block] = inverse[block, rest].T
    return np.ascontiguousarray(inverse.T)
