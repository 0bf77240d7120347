"""The relation head h: re-scores the pool that the index returns.

The article's S = h(X, Y) = softmax(θᵀ(Embed(X)∘Embed(Y)) + b(Y)). The softmax is the training objective; only its
order matters when serving, so the score here is its argument. b depends on the item, since a scalar would
cancel in a softmax over candidates.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.errors import ArtifactCorruptError
from models.types import Matrix, Rows, Vector


@dataclass(frozen=True, slots=True)
class RelationHead:
    """The head's parameters.

    Attributes:
        theta: Weight of each dimension of x∘y, shape `(dim,)`.
        bias: b(Y), shape `(n_items,)`.
    """

    theta: Vector
    bias: Vector

    def score(self, user_vector: Vector, item_vectors: Matrix, rows: Rows) -> Vector:
        """Returns the relation score of each item of a pool, shape `(n,)`; bigger is better.

        Args:
            user_vector: x, shape `(dim,)`.
            item_vectors: y of the pool's items, shape `(n, dim)`.
            rows: The pool's rows, shape `(n,)`.
        """
        return (item_vectors @ (self.theta * user_vector) + self.bias[rows]).astype(np.float32)  # θᵀ(x∘y) = (θ∘x)ᵀy

    def save(self, path: Path) -> None:
        """Writes the parameters as safetensors."""
        save_file({"theta": self.theta, "bias": self.bias}, path)


def cosine_head(dim: int, n_items: int) -> RelationHead:
    """Returns the head before training: for unit vectors its score is the cosine similarity."""
    return RelationHead(theta=np.ones(dim, np.float32), bias=np.zeros(n_items, np.float32))


def load_head(path: Path, *, dim: int, n_items: int) -> RelationHead:
    """Reads a head.

    Raises:
        ArtifactCorruptError: The file is no head for `dim` dimensions and `n_items` items.
    """
    try:
        tensors = load_file(path)
        head = RelationHead(theta=tensors["theta"], bias=tensors["bias"])
    except (SafetensorError, KeyError, OSError) as error:
        raise ArtifactCorruptError(f"{path.name} holds no relation head ({error}); rebuild the artifact") from error
    if head.theta.shape != (dim,) or head.bias.shape != (n_items,):
        raise ArtifactCorruptError(
            f"{path.name} has theta {head.theta.shape} and bias {head.bias.shape}, the manifest says"
            f" ({dim},) and ({n_items},); rebuild the artifact"
        )
    return head
