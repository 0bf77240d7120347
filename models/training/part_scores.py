"""The parts' scores of validation cases, computed once, so that weights can be tried cheaply."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Self

import numpy as np

from models.fused import (
    FusedMatching,
    KnownUser,
    Parts,
    PartWeights,
    SituationWeights,
    Tokens,
    UserSide,
    covariance,
    scale,
)
from models.item_side import ItemSide
from models.training.features import Features
from models.training.freshness import Freshness
from models.training.judge import CUTOFFS, recalls
from models.training.metrics import PerUser
from models.training.split import Case
from models.types import JsonValue, Matrix, Vector

_BLOCK_SCORES = 640_000
_BLOCK = 32  # cases whose texts are looked up together: some have hundreds


@dataclass(frozen=True, slots=True, eq=False)
class FittedParts:
    """Both sides of every part, fitted.

    Attributes:
        side: The users'.
        items: The items'.
        item_side: That of items to come.
        words: What each term adds to the tower's vectors, shape `(n_terms, tower_dim)`.
        losses: The tower's, by epoch.
        freshness: What the age of items is worth; None where their times aren't known or say nothing.
        trends: What being consumed lately adds to popularity, shape `(n_items,)`, by what counts as lately.
    """

    side: UserSide
    items: Parts
    item_side: ItemSide
    words: Matrix
    losses: tuple[float, ...] = ()
    freshness: Freshness | None = None
    trends: Mapping[float, Vector] = field(default_factory=dict)

    def with_freshness(self, share: float) -> "FittedParts":
        """Returns these parts with age counted into popularity: so many of its deviations to one of popularity's."""
        if self.freshness is None or share == 0:
            return self
        popularity = self.items.popularity + np.float32(share) * self.freshness.items[:, None]
        return replace(
            self,
            items=replace(self.items, popularity=popularity),
            item_side=replace(self.item_side, popularity=share * self.freshness.newest),
        )

    def with_trend(self, window: float) -> "FittedParts":
        """Returns these parts with popularity in a newest share of the past counted in; as they are where it is 0."""
        if window not in self.trends:
            return self
        popularity = self.items.popularity + self.trends[window][:, None]
        return replace(self, items=replace(self.items, popularity=popularity))

    def matching(self, decay: float, weights: SituationWeights) -> FusedMatching:
        """Returns the matching that a decay and weights make of these parts."""
        items = self.items
        covariances = (
            covariance(items.zero_shot),
            covariance(items.behaviour),
            covariance(items.tower),
            covariance(items.popularity),
        )
        return FusedMatching(replace(self.side, decay=decay), weights, covariances)


class PartScores:
    """Scores of each part for each case and item, in deviations over the catalogue.

    Args:
        parts: Fitted on the past.
        cases: To score, of one task.
        features: Of items and texts.
        decay: What a step back multiplies a weight by.
        only: The one part to score, where the others don't matter.

    Attributes:
        cases: What is scored.
    """

    def __init__(
        self, parts: FittedParts, cases: Sequence[Case], features: Features, decay: float, *, only: str | None = None
    ) -> None:
        side = replace(parts.side, decay=decay)
        users = [side.parts(tokens) for tokens in tokens_of(side, known_users(cases, features, parts.words))]
        self.cases = cases
        self._scores: dict[str, Matrix] = {}
        for name in [only] if only else PartWeights.model_fields:
            items: Matrix = getattr(parts.items, name)
            known = np.concatenate([getattr(user, name) for user in users])
            self._scores[name] = scale(known, covariance(items)) @ items.T

    def some(self, rows: slice) -> Self:
        """Returns the scores of some cases, which share memory with these."""
        some = copy(self)
        some.cases = self.cases[rows]
        some._scores = {name: scores[rows] for name, scores in self._scores.items()}
        return some

    def recall(self, weights: PartWeights) -> float:
        """Returns the mean of recall over cutoffs and cases."""
        return float(self.by_case(weights).mean())

    def by_case(self, weights: PartWeights) -> PerUser:
        """Returns each case's mean recall over the cutoffs, shape `(n_cases,)`."""
        by_case: PerUser = np.mean(list(self.recalls(weights).values()), axis=0)
        return by_case

    def figures(self, weights: PartWeights) -> dict[str, JsonValue]:
        """Returns recall by cutoff."""
        return {f"recall@{k}": round(float(values.mean()), 4) for k, values in self.recalls(weights).items()}

    def recalls(self, weights: PartWeights) -> dict[int, PerUser]:
        """Returns each case's recall at each cutoff, the history left out."""
        blocks = [recalls(self._total(weights, rows), self.cases[rows]) for rows in self.blocks()]
        return {k: np.concatenate([block[k] for block in blocks]) for k in CUTOFFS}

    def part(self, name: str) -> Matrix:
        """Returns one part's scores, shape `(n_cases, n_items)`."""
        return self._scores[name]

    def blocks(self) -> list[slice]:
        """Returns the cases in blocks whose scores stay in a core's cache."""
        size = max(1, _BLOCK_SCORES // next(iter(self._scores.values())).shape[1])
        return [slice(start, start + size) for start in range(0, len(self.cases), size)]

    def _total(self, weights: PartWeights, rows: slice) -> Matrix:
        """Returns the weighted sum of the parts' scores of some cases, shape `(n, n_items)`."""
        total = np.zeros_like(next(iter(self._scores.values()))[rows])
        for name, score in self._scores.items():
            if weight := getattr(weights, name):
                total += np.float32(weight) * score[rows]
        return total


def n_words(case: Case, features: Features) -> int:
    """Returns how many words a case's texts have."""
    return int(features.text_words[features.rows_of(case.texts)].sum())


def known_users(cases: Sequence[Case], features: Features, words: Matrix) -> Iterator[KnownUser]:
    """Yields the cases as the service would see them.

    Args:
        cases: What is known.
        features: Of their texts.
        words: What each term adds to the tower's vectors, shape `(n_terms, tower_dim)`.
    """
    for start in range(0, len(cases), _BLOCK):
        block = cases[start : start + _BLOCK]
        rows = [features.rows_of(case.texts) for case in block]
        texts = features.texts([row for own in rows for row in own], words)  # a call a case takes longer than its work
        each = np.split(texts, np.cumsum([len(own) for own in rows])[:-1])
        for case, own in zip(block, each, strict=True):
            yield KnownUser(own, case.history, np.ones(len(case.history), np.float32))


def tokens_of(side: UserSide, users: Iterator[KnownUser]) -> Iterator[Tokens]:
    """Yields the texts and items of users, of whom some are read at a time: one by one takes twice as long."""
    while block := list(islice(users, _BLOCK)):
        yield from side.tokens_of(block)
