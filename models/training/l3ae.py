"""The behaviour part: an item-item matrix in closed form, drawn towards what the texts say, then factorised.

L3AE (language-enhanced linear autoencoder): with the text kernel M (n, n) and the interactions X (users, n)
    P₁ = (M + λ_F·I)⁻¹            C = -P₁ / diag(P₁), zero diagonal            (items reconstructed from text)
    P₂ = (XᵀX + (λ_X + λ_E)·I)⁻¹
    B  = λ_E·P₂C - P₂ ∘ (1 + λ_E·diag(P₂C)) / diag(P₂), zero diagonal
With λ_E = 0 this is EASE (Steck 2019). B has a column for an item that nobody consumed: its text's.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

from models.types import Matrix, Rows, Vector

# (n, n) float32, of which a fit holds about four at once: 1.6 GB at this many items.
MAX_ITEMS = 10_000 * 2


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


def text_kernel(
    embeddings: Matrix, tfidf: csr_matrix | None, *, width: float = 0.3, lexical_share: float = 0.5
) -> Matrix:
    """Returns how alike the items' texts are, shape `(n, n)`: (1-s)·exp((cos - 1)/width) + s·lexical cosine.

    Args:
        embeddings: Unit rows, shape `(n, dim)`.
        tfidf: Unit rows; None leaves the lexical part out.
        width: Cosine distance at which two texts are e times less alike.
        lexical_share: s.
    """
    kernel: Matrix = np.exp((embeddings @ embeddings.T - 1) / width, dtype=np.float32)
    if tfidf is None:
        return kernel
    kernel *= 1 - lexical_share
    kernel += lexical_share * (tfidf @ tfidf.T).toarray()
    return kernel


def fit_l3ae(
    interactions: csr_matrix,
    kernel: Matrix | None,
    *,
    reg_text: float = 20,
    reg_ridge: float = 10,
    reg_prior: float = 200,
) -> Matrix:
    """Returns B, shape `(n, n)`: row i holds how much each item gains from item i in a history.

    Args:
        interactions: X, shape `(n_users, n)`.
        kernel: M; None fits EASE with λ = `reg_ridge`. Overwritten.
        reg_text: λ_F.
        reg_ridge: λ_X.
        reg_prior: λ_E.
    """
    gram: Matrix = (interactions.T @ interactions).toarray().astype(np.float32)
    diagonal = np.diag_indices_from(gram)
    if kernel is None:
        gram[diagonal] += reg_ridge
        inverse = _inverse(gram)
        weights = inverse / -np.diag(inverse)
        weights[diagonal] = 0
        return weights
    kernel[diagonal] += reg_text
    prior = _inverse(kernel)
    prior /= -np.diag(prior)
    prior[diagonal] = 0
    gram[diagonal] += reg_ridge + reg_prior
    inverse = _inverse(gram)
    weights = reg_prior * (inverse @ prior)
    weights -= inverse * ((1 + np.diag(weights)) / np.diag(inverse))
    weights[diagonal] = 0
    return weights


def factorise(weights: Matrix, popularity: Vector, *, rank: int, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Returns A, R of shape `(n, rank)` with B ≈ A·Rᵀ; popular rows, which histories hold more often, fit best.

    Args:
        weights: B.
        popularity: Of each item.
        rank: Dimensions, at most.
        seed: Of the randomised SVD.
    """
    row_weights = np.sqrt(popularity + 1)[:, None].astype(np.float32)
    rank = min(rank, len(weights) - 1)
    left, values, right = randomized_svd(row_weights * weights, rank, n_iter=3, random_state=seed)
    root = np.sqrt(values)
    return (left * root / row_weights).astype(np.float32), (right.T * root).astype(np.float32)


def _inverse(matrix: Matrix) -> Matrix:
    """Returns the inverse of a symmetric positive definite matrix, through Cholesky; the matrix is overwritten."""
    factor, failed = lapack.spotrf(matrix.T, lower=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError(f"leading minor {failed} is not positive; raise the regularisation")
    inverse, _ = lapack.spotri(factor, lower=0, overwrite_c=1)
    upper: NDArray[np.float32] = np.triu(inverse)
    return np.ascontiguousarray(upper + np.triu(inverse, 1).T)
