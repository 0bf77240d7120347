"""The learnt matching: user and item vectors made of parts that lie side by side in one inner-product space.

    item vector = [ text projection ; behaviour factors ; tower output ; popularity ]
    user vector = the same parts, each scaled by  weight / √(pᵀΣp)

so that every part's inner products have the deviation `weight` over the catalogue, whatever the user: Σ is the
covariance of the items' part. Numpy only; how the parts are fitted is `models.training`'s business.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.few_rows import product
from models.neighbours import Neighbours
from models.tower import Tower, TowerFacts
from models.types import Matrix, Rows, Vector
from models.user_text_neighbours import Alike, UserTextNeighbours

Situation = Literal["history", "text", "query"]
"""How a user is known: by consumed items, with or without texts; by texts alone; by a few words alone."""
SITUATIONS: tuple[Situation, ...] = ("history", "text", "query")

_NEAR_ZERO = 1e-12
FEW_WORDS = 20
"""Texts of fewer words, and nothing else, are taken for a query: what they say counts more than who says such."""


class PartWeights(BaseModel):
    """What each part's inner products weigh, in deviations over the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zero_shot: float = Field(1.0, ge=0)
    behaviour: float = Field(0.35, ge=0)
    tower: float = Field(0.35, ge=0)
    popularity: float = 0.0


class SituationWeights(BaseModel):
    """Weights for the situations in which a user can be known.

    Where nothing is measured, zero-shot similarity leads: what is learnt has to earn its weight.

    Attributes:
        history: Consumed items, with or without texts.
        text: Texts alone.
        query: A few words alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: PartWeights = PartWeights()
    text: PartWeights = PartWeights(behaviour=0.0)
    query: PartWeights = PartWeights(behaviour=0.0)


class FusedFacts(BaseModel):
    """The learnt matching as the manifest describes it.

    Attributes:
        kind: Names the method.
        decay: What a step back in texts or history multiplies a weight by.
        weights: What each part counts, by what is known.
        tower: The tower's shape.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fused"] = "fused"
    decay: float = Field(gt=0, le=1)
    weights: SituationWeights
    tower: TowerFacts


@dataclass(frozen=True, slots=True, eq=False)
class KnownUser:
    """What is known about a user, encoded; oldest first.

    Attributes:
        texts: [embedding ; lexical vector ; what its words add ; how many words] of each text, shape
            `(t, text_dim + tower_dim + 1)`.
        history: Rows of consumed items, shape `(h,)`.
        weights: Weight of each, shape `(h,)`.
    """

    texts: Matrix
    history: Rows
    weights: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The parts of users or items, one row each."""

    zero_shot: Matrix
    behaviour: Matrix
    tower: Matrix
    popularity: Matrix

    def joined(self) -> Matrix:
        """Returns the vectors, shape `(n, D)`."""
        return np.hstack([self.zero_shot, self.behaviour, self.tower, self.popularity])


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """A user's texts and consumed items one by one, for whoever looks at more than their sum.

    Attributes:
        texts: Their zero-shot and tower parts, shapes `(t, d₀)` and `(t, d₂)`.
        items: Zero-shot part, what each adds to the behaviour part, tower part: `(h, d₀)`, `(h, d₁)`, `(h, d₂)`.
        rows: Of the items, shape `(h,)`.
        weights: Of the items, shape `(h,)`.
        n_words: In all texts.
    """

    texts: tuple[Matrix, Matrix]
    items: tuple[Matrix, Matrix, Matrix]
    rows: Rows
    weights: Vector
    n_words: int


@dataclass(frozen=True, slots=True, eq=False)
class UserSide:
    """What makes user parts.

    Attributes:
        decay: What each step back in texts or history multiplies a weight by.
        projection: Onto the zero-shot part, shape `(text_dim, d₀)`.
        history_factors: What a consumed item adds to the behaviour part, shape `(n_items, d₁)`.
        tower: Makes the tower's part.
        zero_shot_items: The items' zero-shot part, shape `(n_items, d₀)`.
        tower_items: The items' tower part, shape `(n_items, d₂)`.
        neighbours: Which items are consumed together.
        text_neighbours: What users wrote and consumed.
    """

    decay: float
    projection: Matrix
    history_factors: Matrix
    tower: Tower
    zero_shot_items: Matrix
    tower_items: Matrix
    neighbours: Neighbours
    text_neighbours: UserTextNeighbours

    def tokens(self, user: KnownUser) -> Tokens:
        """Returns the user's texts and items one by one."""
        return self.tokens_of([user])[0]

    def tokens_of(self, users: Sequence[KnownUser]) -> list[Tokens]:
        """Returns the texts and items of users, whose texts are read together."""
        text_dim, ends = len(self.projection), np.cumsum([len(user.texts) for user in users])
        texts = np.concatenate([user.texts for user in users])
        meaning, words = texts[:, :text_dim], texts[:, text_dim:-1]
        zero_shot, tower = product(meaning, self.projection), self.tower.texts(meaning, words)
        return [
            Tokens(
                texts=(zero_shot[end - len(user.texts) : end], tower[end - len(user.texts) : end]),
                items=self.consumed(user.history),
                rows=user.history,
                weights=user.weights,
                n_words=int(user.texts[:, -1].sum()),
            )
            for user, end in zip(users, ends.tolist(), strict=True)
        ]

    def consumed(self, history: Rows) -> tuple[Matrix, Matrix, Matrix]:
        """Returns zero-shot part, what it adds to the behaviour part, and tower part of each consumed item."""
        return self.zero_shot_items[history], self.history_factors[history], self.tower_items[history]

    def parts(self, tokens: Tokens) -> Parts:
        """Returns the user's parts, unscaled, each of shape `(1, d)`; zeros where nothing is known."""
        by_text = _decayed(len(tokens.texts[0]), self.decay)
        by_history = _decayed(len(tokens.weights), self.decay) * tokens.weights
        return Parts(
            zero_shot=(by_text @ tokens.texts[0] + by_history @ tokens.items[0])[None].astype(np.float32),
            behaviour=(by_history @ tokens.items[1])[None].astype(np.float32),
            tower=self.tower.user(tokens.texts[1], tokens.items[2], tokens.weights)[None],
            popularity=np.ones((1, 1), np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A user as the index and the relation head are asked.

    Attributes:
        situation: How the user is known.
        vector: The user vector, shape `(D,)`.
        parts: Scaled but unweighted, each of shape `(1, d)`.
        tokens: Texts and items one by one.
        neighbours: Which items are consumed together.
        alike: The users who wrote most alike.
    """

    situation: Situation
    vector: Vector
    parts: Parts
    tokens: Tokens
    neighbours: Neighbours
    alike: Alike


@dataclass(frozen=True, slots=True, eq=False)
class FusedMatching:
    """A learnt matching, ready to serve.

    Attributes:
        side: Makes the user's parts.
        weights: What each part counts in each situation.
        covariances: Σ of each part over the items, in the order of `Parts`, each of shape `(d, d)`.
    """

    side: UserSide
    weights: SituationWeights
    covariances: tuple[Matrix, Matrix, Matrix, Matrix]

    @property
    def facts(self) -> FusedFacts:
        """Its description for the manifest."""
        return FusedFacts(decay=self.side.decay, weights=self.weights, tower=self.side.tower.facts)

    def beside(self, side: UserSide) -> "FusedMatching":
        """Returns the matching over a side of the same tower, projection and decay, such as one with more items."""
        return replace(self, side=side)

    def ask(self, user: KnownUser) -> Asked | None:
        """Returns the user's vector and what it is made of, or None where neither text nor history says anything."""
        return self.asked(self.side.tokens(user))

    def asked(self, tokens: Tokens) -> Asked | None:
        """Returns what `ask` does of a user whose texts and items are there one by one."""
        found = self.side.parts(tokens)
        parts = Parts(
            *(
                scale(part, covariance) if part.any() else part
                for part, covariance in zip(
                    (found.zero_shot, found.behaviour, found.tower, found.popularity), self.covariances, strict=True
                )
            )
        )
        if not any(part.any() for part in (parts.zero_shot, parts.behaviour, parts.tower)):
            return None
        how = situation(tokens)
        weights: PartWeights = getattr(self.weights, how)
        weighted = Parts(
            zero_shot=weights.zero_shot * parts.zero_shot,
            behaviour=weights.behaviour * parts.behaviour,
            tower=weights.tower * parts.tower,
            popularity=weights.popularity * parts.popularity,
        )
        alike = self.side.text_neighbours.nearest(tokens.texts[0])
        return Asked(how, weighted.joined()[0].astype(np.float32), parts, tokens, self.side.neighbours, alike)


def scale(users: Matrix, covariance: Matrix) -> Matrix:
    """Returns user parts, shape `(n, d)`, scaled so that their inner products with the items have deviation 1."""
    variance = ((users @ covariance) * users).sum(axis=1)
    factors = np.where(variance > _NEAR_ZERO, 1 / np.sqrt(np.maximum(variance, _NEAR_ZERO)), 0)
    scaled: Matrix = (users * factors[:, None]).astype(np.float32)
    return scaled


def covariance(part: Matrix) -> Matrix:
    """Returns Σ of an item part, shape `(d, d)`."""
    return np.atleast_2d(np.cov(part.T)).astype(np.float32)


def situation(tokens: Tokens) -> Situation:
    """Returns how a user is known."""
    if tokens.weights.any():
        return "history"
    return "query" if tokens.n_words < FEW_WORDS else "text"


def _decayed(n: int, decay: float) -> Vector:
    return np.power(decay, np.arange(n - 1, -1, -1)).astype(np.float32)
