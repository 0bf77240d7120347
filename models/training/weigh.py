"""What each part weighs, and how fast a history fades, by validation recall."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.fused import PartWeights, SituationWeights
from models.training.features import Features
from models.training.gains import is_gain
from models.training.metrics import PerUser
from models.training.part_scores import FittedParts, PartScores
from models.training.situations import by_situation
from models.training.split import Case, Task
from models.types import JsonValue, Matrix

_WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
# What a text says is never left out: new items and short texts depend on it.
_LEAST_ZERO_SHOT = 0.1
_FRESHNESS = (0.0, 0.5, 1.0, 2.0, 4.0)
_ROUNDS = 2


def weigh(
    parts: FittedParts, by_task: Mapping[Task, Sequence[Case]], features: Features, decays: Sequence[float]
) -> tuple[float, SituationWeights, dict[str, JsonValue]]:
    """Returns decay and weights with the best validation recall, and by situation what that is beside other weights.

    Args:
        parts: Fitted on what was before the cases.
        by_task: Validation cases.
        features: Of items and texts.
        decays: What a step back in texts or history may multiply a weight by.
    """
    start, chosen = SituationWeights(), dict[str, PartWeights]()
    main: Task = "history" if "history" in by_task else "text"

    def reached_with(decay: float) -> float:  # one decay's scores at a time: together they take gigabytes
        return climb(PartScores(parts, by_task[main], features, decay), getattr(start, main))[1]

    decay = max(decays, key=reached_with) if len(decays) > 1 else decays[0]
    figures: dict[str, JsonValue] = {}
    for situation, cases in by_situation(by_task, features).items():
        scores = PartScores(parts, cases, features, decay)
        chosen[situation], _ = climb(scores, getattr(start, situation))
        figures[situation] = {
            "cases": len(cases),
            "product": scores.figures(chosen[situation]),
            "zero_shot": scores.figures(alone("zero_shot")),
            "popularity": scores.figures(alone("popularity")),
        }
    return decay, start.model_copy(update=chosen), figures


def weigh_freshness(
    parts: FittedParts, by_task: Mapping[Task, Sequence[Case]], features: Features, decay: float
) -> float:
    """Returns how much the age of items counts beside their popularity; 0 where validation gains nothing beyond noise.

    Args:
        parts: Fitted on what was before the cases, age left out.
        by_task: Validation cases.
        features: Of items and texts.
        decay: What a step back in texts or history multiplies a weight by.
    """
    if parts.freshness is None:
        return 0.0
    return _gainful({share: parts.with_freshness(share) for share in _FRESHNESS}, by_task, features, decay)


def weigh_trend(parts: FittedParts, by_task: Mapping[Task, Sequence[Case]], features: Features, decay: float) -> float:
    """Returns what share of the past counts as lately beside all of it; 0 where validation gains nothing beyond noise.

    Args:
        parts: Fitted on what was before the cases, trends left out.
        by_task: Validation cases.
        features: Of items and texts.
        decay: What a step back in texts or history multiplies a weight by.
    """
    if not parts.trends:
        return 0.0
    return _gainful({window: parts.with_trend(window) for window in (0.0, *parts.trends)}, by_task, features, decay)


def _gainful(
    choices: Mapping[float, FittedParts], by_task: Mapping[Task, Sequence[Case]], features: Features, decay: float
) -> float:
    """Returns the first choice, or the last that gains more than two standard errors on the one chosen before it."""
    task: Task = "history" if "history" in by_task else "text"

    def reached_by(parts: FittedParts) -> PerUser:  # one choice's scores at a time: together they take gigabytes
        scores = PartScores(parts, by_task[task], features, decay)
        return scores.by_case(scores.total(climb(scores, getattr(SituationWeights(), task))[0]))

    chosen, recall = 0.0, None
    for choice, parts in choices.items():
        found = reached_by(parts)
        if recall is None or is_gain(found - recall, errors=2):
            chosen, recall = choice, found
    return chosen


def alone(part: str) -> PartWeights:
    """Returns weights of which one part has all."""
    return PartWeights.model_validate({name: float(name == part) for name in PartWeights.model_fields})


def climb(scores: PartScores, start: PartWeights) -> tuple[PartWeights, float]:
    """Returns the weights found by changing one at a time while recall rises beyond noise, and their mean recall.

    Args:
        scores: Of a situation's validation cases.
        start: Where it begins.
    """
    best, recall = start, scores.by_case(scores.total(start))
    for _ in range(_ROUNDS):
        for name in PartWeights.model_fields:
            others = scores.total(best.model_copy(update={name: 0.0}))
            for weight in _allowed(name):
                found = scores.by_case(_plus(others, weight, scores.part(name)))
                if is_gain(found - recall):
                    best, recall = best.model_copy(update={name: weight}), found
    return best, float(recall.mean())


def _allowed(part: str) -> Sequence[float]:
    return [weight for weight in _WEIGHTS if part != "zero_shot" or weight >= _LEAST_ZERO_SHOT]


def _plus(others: Matrix, weight: float, part: Matrix) -> Matrix:
    total: Matrix = others + np.float32(weight) * part
    return total
