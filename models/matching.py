"""Matching g: from what a user wrote and consumed to the user vector that queries the index.

Before training this is the decayed mean of the embeddings of texts and history items.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.types import Matrix, Vector

_NEAR_ZERO = 1e-6


@dataclass(frozen=True, slots=True)
class UserEmbeddings:
    """What is known about a user, encoded; oldest first in both parts.

    Attributes:
        texts: Embeddings of what the user wrote, shape `(t, dim)`.
        history: Embeddings of the items the user consumed, shape `(h, dim)`.
        weights: Weight of each history item, shape `(h,)`.
    """

    texts: Matrix
    history: Matrix
    weights: Vector


class DecayedMean(BaseModel):
    """The user vector as a decayed mean.

    Attributes:
        kind: Names the method in the manifest.
        decay: What a step back in time multiplies the weight by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["decayed_mean"] = "decayed_mean"
    decay: float = Field(0.7, gt=0, le=1)

    def user_vector(self, user: UserEmbeddings) -> Vector | None:
        """Returns the unit user vector, shape `(dim,)`, or None where nothing usable is known.

        u = norm(Σᵢ decayⁱ·tᵢ + Σⱼ wⱼ·decayʲ·hⱼ), i and j counted back from the newest text and history item.
        """
        total = self._weights(len(user.texts)) @ user.texts
        total = total + (self._weights(len(user.history)) * user.weights) @ user.history
        norm = float(np.linalg.norm(total))
        return (total / norm).astype(np.float32) if norm > _NEAR_ZERO else None

    def _weights(self, n: int) -> Vector:
        return np.power(self.decay, np.arange(n - 1, -1, -1)).astype(np.float32)
