"""The relation head h: re-scores the pool that the index returns.

Two kinds:

- "hadamard", the article's S = h(X, Y) = softmax(θᵀ(Embed(X)∘Embed(Y)) + b(Y)). b depends on the item, since a scalar
  would cancel in a softmax over candidates. Untrained, with θ = 1 and b = 0, it is the recall score: a zero-shot build
  ships it so. Trained it gained next to nothing (docs/lab-log.md, 2026-11-25, H1), so no build trains it.
- "features": w·f + MLP(f) over the features f of `models.relation_features`, which builds train, and ship where it
  gains. Before training it is the recall score.

The softmax is the training objective; only its order matters when serving, so the score here is its argument.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.errors import ArtifactCorruptError
from models.fused import SITUATIONS, Situation
from models.relation_features import N_FEATURES
from models.types import Matrix, Rows, Vector

HeadKind = Literal["hadamard", "features"]

HIDDEN = 24
"""Width of the feature head's two layers."""


@dataclass(frozen=True, slots=True, eq=False)
class HadamardHead:
    """The article's head.

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


@dataclass(frozen=True, slots=True, eq=False)
class FeatureHead:
    """A small network over what is known of user and candidate.

    Attributes:
        tensors: `mean` and `deviation` of the features in training, `linear`, and the layers of the network. Of a head
            that was fitted before the last features came, they know only the first.
        situations: Where it raised recall. Elsewhere it doesn't act.
    """

    tensors: dict[str, Matrix | Vector]
    situations: tuple[Situation, ...] = SITUATIONS

    def score(self, features: Matrix) -> Vector:
        """Returns the relation score of each candidate, shape `(n,)`; bigger is better.

        Args:
            features: By `relation_features`, shape `(n, N_FEATURES)`.
        """
        known = self.tensors
        standard = (features[:, : len(known["mean"])] - known["mean"]) / known["deviation"]
        hidden = np.maximum(standard @ known["inner.weight"].T + known["inner.bias"], 0)
        hidden = np.maximum(hidden @ known["middle.weight"].T + known["middle.bias"], 0)
        scores: Vector = (standard @ known["linear"] + hidden @ known["outer.weight"]).astype(np.float32)
        return scores


RelationHead: TypeAlias = HadamardHead | FeatureHead


def falling(scores: Vector) -> Rows:
    """Returns the places of scores in their falling order, equal ones by place, shape `(n,)`."""
    return np.argsort(-scores, kind="stable")


def save_head(head: RelationHead, path: Path) -> None:
    """Writes the parameters as safetensors."""
    tensors = {"theta": head.theta, "bias": head.bias} if isinstance(head, HadamardHead) else head.tensors
    save_file(tensors, path)


def cosine_head(dim: int, n_items: int) -> HadamardHead:
    """Returns the head before training: for unit vectors its score is the cosine similarity."""
    return HadamardHead(theta=np.ones(dim, np.float32), bias=np.zeros(n_items, np.float32))


def load_head(
    path: Path, *, kind: HeadKind, dim: int, n_items: int, situations: tuple[Situation, ...] = SITUATIONS
) -> RelationHead:
    """Reads a head, and gives one of features the situations in which it acts.

    Raises:
        ArtifactCorruptError: The file is no head of this kind for `dim` dimensions and `n_items` items.
    """
    try:
        tensors = load_file(path)
        if kind == "features":
            known = {name: tensors[name] for name in _feature_shapes(N_FEATURES)}
            head: RelationHead = FeatureHead(known, situations)
        else:
            head = HadamardHead(theta=tensors["theta"], bias=tensors["bias"])
    except (SafetensorError, KeyError, OSError) as error:
        raise ArtifactCorruptError(f"{path.name} holds no relation head ({error}); rebuild the artifact") from error
    _check_shapes(path, head, dim=dim, n_items=n_items)
    return head


def _check_shapes(path: Path, head: RelationHead, *, dim: int, n_items: int) -> None:
    if isinstance(head, FeatureHead):
        shapes = _feature_shapes(min(head.tensors["mean"].size, N_FEATURES))
        wrong = {name: tensor.shape for name, tensor in head.tensors.items() if tensor.shape != shapes[name]}
        if wrong:
            needed = {name: shapes[name] for name in wrong}
            raise ArtifactCorruptError(f"{path.name} has {wrong}, {needed} is needed; rebuild the artifact")
    elif head.theta.shape != (dim,) or head.bias.shape != (n_items,):
        raise ArtifactCorruptError(
            f"{path.name} has theta {head.theta.shape} and bias {head.bias.shape}, the manifest says"
            f" ({dim},) and ({n_items},); rebuild the artifact"
        )


def _feature_shapes(n_features: int) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each tensor of a feature head that knows so many features."""
    return {
        "mean": (n_features,),
        "deviation": (n_features,),
        "linear": (n_features,),
        "inner.weight": (HIDDEN, n_features),
        "inner.bias": (HIDDEN,),
        "middle.weight": (HIDDEN, HIDDEN),
        "middle.bias": (HIDDEN,),
        "outer.weight": (HIDDEN,),
    }
