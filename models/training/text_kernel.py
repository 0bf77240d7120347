"""How alike two texts are: exp((cos - 1)/width) of their embeddings, mixed with the cosine of their lexical vectors."""

from dataclasses import dataclass

import numpy as np

from models.types import Matrix


@dataclass(frozen=True, slots=True)
class TextKernel:
    """(1-s)·exp((cos - 1)/width) + s·lexical cosine, over [embedding ; lexical vector].

    Attributes:
        dim: Dimensions of the embedding.
        width: Cosine distance at which two texts are e times less alike.
        lexical_share: s.
    """

    dim: int
    width: float = 0.3
    lexical_share: float = 0.5

    def between(self, left: Matrix, right: Matrix) -> Matrix:
        """Returns the kernel of each pair, shape `(n_left, n_right)`."""
        dense = np.exp((left[:, : self.dim] @ right[:, : self.dim].T - 1) / self.width)
        lexical = left[:, self.dim :] @ right[:, self.dim :].T
        kernel: Matrix = ((1 - self.lexical_share) * dense + self.lexical_share * lexical).astype(np.float32)
        return kernel


def nystroem(kernel: TextKernel, texts: Matrix, *, n_landmarks: int, seed: int) -> Matrix:
    """Returns Φ with ΦΦᵀ ≈ the kernel of the texts: Φ = K_nm·K_mm^(-1/2), shape `(n, at most n_landmarks)`.

    Args:
        kernel: Between texts.
        texts: [embedding ; lexical vector], shape `(n, text_dim)`.
        n_landmarks: m, texts that stand for all.
        seed: Of the landmarks drawn.
    """
    drawn = np.random.default_rng(seed).permutation(len(texts))[:n_landmarks]
    landmarks = texts[np.sort(drawn)]
    values, vectors = np.linalg.eigh(kernel.between(landmarks, landmarks).astype(np.float64))
    kept = values > 1e-6 * values[-1]
    root = vectors[:, kept] / np.sqrt(values[kept])
    found: Matrix = (kernel.between(texts, landmarks) @ root).astype(np.float32)
    return found
