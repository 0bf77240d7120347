"""The text part: kernel ridge regression from what users wrote to what they consumed, on a few landmark texts.

With the kernel k between texts, landmarks z (m texts), training texts x (N) and their items Y (N, n), Nyström's
    W = (K_zx·K_xz + λ·K_zz)⁻¹ · K_zx·Y          scores of a text t:  k(t, z)·W
and W ≈ A·Rᵀ, so that a text's user part is k(t, z)·A and an item's part its row of R.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

from models.fused import TextKernel
from models.types import Matrix


@dataclass(frozen=True, slots=True, eq=False)
class TextRidge:
    """A fitted text part.

    Attributes:
        landmarks: Text vectors, shape `(m, text_dim)`.
        user_factors: A, shape `(m, rank)`.
        item_factors: R, shape `(n_items, rank)`.
    """

    landmarks: Matrix
    user_factors: Matrix
    item_factors: Matrix


def fit_text_ridge(
    texts: Matrix,
    consumed: csr_matrix,
    kernel: TextKernel,
    *,
    reg: float = 2.0,
    n_landmarks: int = 1536,
    rank: int = 192,
    seed: int = 0,
) -> TextRidge:
    """Fits the text part.

    Args:
        texts: Vectors of what users wrote, shape `(N, text_dim)`.
        consumed: What the writer of each text consumed, shape `(N, n_items)`.
        kernel: Between text vectors.
        reg: λ.
        n_landmarks: m, at most.
        rank: Dimensions, at most.
        seed: Of the landmarks and the randomised SVD.
    """
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(texts), size=min(n_landmarks, len(texts)), replace=False))
    landmarks = texts[drawn]
    between = kernel.between(landmarks, texts).astype(np.float64)
    system = between @ between.T + reg * kernel.between(landmarks, landmarks)
    system[np.diag_indices_from(system)] += 1e-6 * np.trace(system) / len(system)
    weights = cho_solve(cho_factor(system), (consumed.T @ between.T).T).astype(np.float32)
    # What counts is k·W over the texts, so the factorisation weighs directions by how far texts reach into them.
    scale = np.sqrt((between**2).mean(axis=1))[:, None].astype(np.float32)
    left, values, right = randomized_svd(
        scale * weights, min(rank, min(weights.shape) - 1), n_iter=3, random_state=seed
    )
    root = np.sqrt(values)
    return TextRidge(landmarks, (left * root / scale).astype(np.float32), (right.T * root).astype(np.float32))
