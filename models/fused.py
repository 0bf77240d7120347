"""The learnt matching: user and item vectors made of parts that lie side by side in one inner-product space.

    item vector = [ text projection ; behaviour factors ; text-ridge factors ; popularity ]
    user vector = the same parts, each scaled by  weight / √(pᵀΣp)

so that every part's inner products have the deviation `weight` over the catalogue, whatever the user: Σ is the
covariance of the items' part. Numpy only; how the parts are fitted is `models.training`'s business.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.types import Matrix, Rows, Vector

_NEAR_ZERO = 1e-12


class TextKernel(BaseModel):
    """How alike two texts are: (1-s)·exp((cos - 1)/width) + s·lexical cosine, over [embedding ; lexical vector].

    Attributes:
        dim: Dimensions of the embedding.
        width: Cosine distance at which two texts are e times less alike.
        lexical_share: s.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int
    width: float = 0.2
    lexical_share: float = 0.3

    def between(self, left: Matrix, right: Matrix) -> Matrix:
        """Returns the kernel of each pair, shape `(n_left, n_right)`."""
        dense = np.exp((left[:, : self.dim] @ right[:, : self.dim].T - 1) / self.width)
        lexical = left[:, self.dim :] @ right[:, self.dim :].T
        kernel: Matrix = ((1 - self.lexical_share) * dense + self.lexical_share * lexical).astype(np.float32)
        return kernel


class PartWeights(BaseModel):
    """What each part's inner products weigh, in deviations over the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zero_shot: float = Field(1.0, ge=0)
    behaviour: float = Field(1.0, ge=0)
    text: float = Field(1.0, ge=0)
    popularity: float = Field(0.1, ge=0)


class SituationWeights(BaseModel):
    """Weights for the two situations in which a user can be known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: PartWeights = PartWeights(zero_shot=0.35, behaviour=1.0, text=0.5, popularity=0.1)
    text: PartWeights = PartWeights(zero_shot=1.0, behaviour=0.0, text=1.0, popularity=0.1)


class FusedFacts(BaseModel):
    """The learnt matching as the manifest describes it.

    Attributes:
        kind: Names the method.
        decay: What a step back in texts or history multiplies a weight by.
        weights: What each part counts, by what is known: a history (with or without texts), or texts alone.
        kernel: Between texts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fused"] = "fused"
    decay: float = Field(gt=0, le=1)
    weights: SituationWeights
    kernel: TextKernel


@dataclass(frozen=True, slots=True, eq=False)
class KnownUser:
    """What is known about a user, encoded; oldest first.

    Attributes:
        texts: [embedding ; lexical vector] of each text, shape `(t, dim + lexical_dim)`.
        history: Rows of consumed items, shape `(h,)`.
        weights: Weight of each, shape `(h,)`.
    """

    texts: Matrix
    history: Rows
    weights: Vector


@dataclass(frozen=True, slots=True, eq=False)
class ItemParts:
    """The items' side of each part, one row an item."""

    zero_shot: Matrix
    behaviour: Matrix
    text: Matrix
    popularity: Matrix

    def joined(self) -> Matrix:
        """Returns the item vectors, shape `(n_items, D)`."""
        return np.hstack([self.zero_shot, self.behaviour, self.text, self.popularity])


@dataclass(frozen=True, slots=True, eq=False)
class UserSide:
    """What makes user parts.

    Attributes:
        kernel: Between texts.
        decay: What each step back in texts or history multiplies a weight by.
        embeddings: Of the items, shape `(n_items, dim)`.
        lexical: Lexical vectors of the items, shape `(n_items, lexical_dim)`.
        projection: Onto the zero-shot part, shape `(text_dim, d₀)`.
        history_factors: What a consumed item adds to the behaviour part, shape `(n_items, d₁)`.
        landmarks: Text vectors, shape `(m, dim + lexical_dim)`; m = 0 without user texts.
        text_factors: What likeness to each landmark adds to the text part, shape `(m, d₂)`.
    """

    kernel: TextKernel
    decay: float
    embeddings: Matrix
    lexical: Matrix
    projection: Matrix
    history_factors: Matrix
    landmarks: Matrix
    text_factors: Matrix

    def parts(self, user: KnownUser) -> ItemParts:
        """Returns the user's parts, unscaled, each of shape `(1, d)`; zeros where nothing is known."""
        by_text, by_history = _decayed(len(user.texts), self.decay), _decayed(len(user.history), self.decay)
        by_history = by_history * user.weights
        consumed = np.hstack([self.embeddings[user.history], self.lexical[user.history]])
        meaning = by_text @ user.texts + by_history @ consumed
        likeness: Vector = by_text @ self.kernel.between(user.texts, self.landmarks)
        return ItemParts(
            zero_shot=(meaning @ self.projection)[None],
            behaviour=(by_history @ self.history_factors[user.history])[None],
            text=(likeness @ self.text_factors)[None],
            popularity=np.ones((1, 1), np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FusedMatching:
    """A learnt matching, ready to serve.

    Attributes:
        side: Makes the user's parts.
        weights: What each part counts in either situation.
        covariances: Σ of each part over the items, in the order of `ItemParts`, each of shape `(d, d)`.
    """

    side: UserSide
    weights: SituationWeights
    covariances: tuple[Matrix, Matrix, Matrix, Matrix]

    @property
    def facts(self) -> FusedFacts:
        """Its description for the manifest."""
        return FusedFacts(decay=self.side.decay, weights=self.weights, kernel=self.side.kernel)

    def user_vector(self, user: KnownUser) -> Vector | None:
        """Returns the user vector, shape `(D,)`, or None where neither text nor history says anything."""
        parts = self.side.parts(user)
        weights = self.weights.history if user.weights.any() else self.weights.text
        scaled = [
            weight * scale(part, covariance)
            for weight, part, covariance in zip(
                (weights.zero_shot, weights.behaviour, weights.text, weights.popularity),
                (parts.zero_shot, parts.behaviour, parts.text, parts.popularity),
                self.covariances,
                strict=True,
            )
        ]
        if not any(part.any() for part in scaled[:3]):
            return None
        vector: Vector = np.hstack(scaled)[0].astype(np.float32)
        return vector


def scale(users: Matrix, covariance: Matrix) -> Matrix:
    """Returns user parts, shape `(n, d)`, scaled so that their inner products with the items have deviation 1."""
    variance = ((users @ covariance) * users).sum(axis=1)
    factors = np.where(variance > _NEAR_ZERO, 1 / np.sqrt(np.maximum(variance, _NEAR_ZERO)), 0)
    scaled: Matrix = (users * factors[:, None]).astype(np.float32)
    return scaled


def covariance(part: Matrix) -> Matrix:
    """Returns Σ of an item part, shape `(d, d)`."""
    return np.atleast_2d(np.cov(part.T)).astype(np.float32)


def _decayed(n: int, decay: float) -> Vector:
    return np.power(decay, np.arange(n - 1, -1, -1)).astype(np.float32)
