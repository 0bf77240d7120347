"""The parts' scores of validation cases, computed once, so that weights can be tried cheaply."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.fused import FusedMatching, KnownUser, Parts, PartWeights, SituationWeights, UserSide, covariance, scale
from models.item_side import ItemSide
from models.training.features import Features
from models.training.judge import CUTOFFS, best_rows
from models.training.metrics import PerUser, hits_of, recall_at
from models.training.split import Case
from models.types import JsonValue, Matrix

_WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
# What a text says is never left out: new items and short texts depend on it.
_LEAST_ZERO_SHOT = 0.1
_ROUNDS = 2
_LEAST_GAIN = 0.0005


@dataclass(frozen=True, slots=True, eq=False)
class FittedParts:
    """Both sides of every part, fitted.

    Attributes:
        side: The users'.
        items: The items'.
        item_side: That of items to come.
        words: What each term adds to the tower's vectors, shape `(n_terms, tower_dim)`.
        losses: The tower's, by epoch.
    """

    side: UserSide
    items: Parts
    item_side: ItemSide
    words: Matrix
    losses: tuple[float, ...] = ()

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
    """

    def __init__(
        self, parts: FittedParts, cases: Sequence[Case], features: Features, decay: float, *, only: str | None = None
    ) -> None:
        side = replace(parts.side, decay=decay)
        users = [side.parts(side.tokens(known_user(case, features, parts.words))) for case in cases]
        self._cases = cases
        self._scores: dict[str, Matrix] = {}
        for name in [only] if only else PartWeights.model_fields:
            items: Matrix = getattr(parts.items, name)
            known = np.concatenate([getattr(user, name) for user in users])
            self._scores[name] = scale(known, covariance(items)) @ items.T

    def mean_recall(self, weights: PartWeights) -> float:
        """Returns the mean over cutoffs and cases of recall."""
        return float(self._by_case(weights).mean())

    def figures(self, weights: PartWeights) -> dict[str, JsonValue]:
        """Returns recall by cutoff."""
        return {f"recall@{k}": round(float(values.mean()), 4) for k, values in self._recall(weights).items()}

    def climb(self, start: PartWeights) -> PartWeights:
        """Returns the best weights found by changing one at a time; a gain within noise changes nothing."""
        best, recall = start, self._by_case(start)
        for _ in range(_ROUNDS):
            for name in PartWeights.model_fields:
                for weight in _WEIGHTS:
                    tried = best.model_copy(update={name: weight})
                    if tried == best or tried.zero_shot < _LEAST_ZERO_SHOT:
                        continue
                    gain = (found := self._by_case(tried)) - recall
                    # One standard error of the paired difference: a handful of cases can't move the weights.
                    if gain.mean() > max(gain.std() / np.sqrt(len(gain)), _LEAST_GAIN):
                        best, recall = tried, found
        return best

    def total(self, weights: PartWeights) -> Matrix:
        """Returns the weighted sum of the parts' scores, shape `(n_cases, n_items)`."""
        total = np.zeros_like(next(iter(self._scores.values())))
        for name, score in self._scores.items():
            total += getattr(weights, name) * score
        return total

    def _by_case(self, weights: PartWeights) -> PerUser:
        by_case: PerUser = np.mean(list(self._recall(weights).values()), axis=0)
        return by_case

    def _recall(self, weights: PartWeights) -> dict[int, PerUser]:
        total = self.total(weights)
        for row, case in zip(total, self._cases, strict=True):
            row[case.history] = -np.inf
        hits = hits_of(best_rows(total, max(CUTOFFS)), [case.targets for case in self._cases])
        n_relevant = np.array([len(case.targets) for case in self._cases])
        return {k: recall_at(hits, n_relevant, k) for k in CUTOFFS}


def n_words(case: Case, features: Features) -> int:
    """Returns how many words a case's texts have."""
    return int(features.text_words[features.rows_of(case.texts)].sum())


def known_user(case: Case, features: Features, words: Matrix) -> KnownUser:
    """Returns a case as the service would see it.

    Args:
        case: What is known.
        features: Of its texts.
        words: What each term adds to the tower's vectors, shape `(n_terms, tower_dim)`.
    """
    texts = features.texts(features.rows_of(case.texts), words)
    return KnownUser(texts, case.history, np.ones(len(case.history), np.float32))
