"""What each part weighs, and how fast a history fades: weights by likelihood, then by validation recall."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.fused import PartWeights, SituationWeights
from models.training.features import Features
from models.training.gains import is_gain
from models.training.likeliest import likeliest
from models.training.metrics import PerUser
from models.training.part_scores import FittedParts, PartScores
from models.training.situations import ENOUGH, by_situation
from models.training.split import Case, Task
from models.types import JsonValue, Matrix

# By likelihood weights are nearly right; recall, which is what counts, moves them a little.
_FACTORS = (0.0, 0.5, 0.7, 1.4, 2.0)
_FIRST = {0.1, 0.2}  # of a part that likelihood left out
# What a text says is never left out: new items and short texts depend on it. By likelihood the largest weight is 1.
_LEAST_ZERO_SHOT = 0.05
_FRESHNESS = (0.0, 0.5, 1.0, 2.0, 4.0)


def weigh(
    parts: FittedParts, by_task: Mapping[Task, Sequence[Case]], features: Features, decays: Sequence[float]
) -> tuple[float, SituationWeights, dict[str, JsonValue]]:
    """Returns decay and weights of the best validation recall, and by situation what that is beside other weights.

    Args:
        parts: Fitted on what was before the cases.
        by_task: Validation cases.
        features: Of their texts, and of the queries.
        decays: What a step back in texts or history may multiply a weight by.
    """
    main: Task = "history" if "history" in by_task else "text"

    def reached_with(decay: float) -> float:  # one decay's scores at a time: together they take gigabytes
        return best_weights(PartScores(parts, by_task[main], features, decay), getattr(SituationWeights(), main))[1]

    decay = max(decays, key=reached_with) if len(decays) > 1 else decays[0]
    weights, figures = weigh_situations(parts, by_situation(by_task, features), features, decay)
    return decay, weights, figures


def weigh_situations(
    parts: FittedParts, cases: Mapping[str, Sequence[Case]], features: Features, decay: float
) -> tuple[SituationWeights, dict[str, JsonValue]]:
    """Returns the weights of each situation that has cases, and what their recall is beside other weights'.

    Args:
        parts: Fitted on what was before the cases.
        cases: By situation.
        features: Of their texts.
        decay: What a step back in texts or history multiplies a weight by.
    """
    default, chosen = SituationWeights(), dict[str, PartWeights]()
    figures: dict[str, JsonValue] = {}
    for situation, asked in cases.items():
        scores = PartScores(parts, asked, features, decay)
        chosen[situation], _ = best_weights(scores, getattr(default, situation))
        figures[situation] = {
            "cases": len(asked),
            "product": scores.figures(chosen[situation]),
            "zero_shot": scores.figures(alone("zero_shot")),
            "popularity": scores.figures(alone("popularity")),
        }
    return default.model_copy(update=chosen), figures


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
        return scores.by_case(scores.total(best_weights(scores, getattr(SituationWeights(), task))[0]))

    chosen, recall = 0.0, None
    for choice, parts in choices.items():
        found = reached_by(parts)
        if recall is None or is_gain(found - recall, errors=2):
            chosen, recall = choice, found
    return chosen


def alone(part: str) -> PartWeights:
    """Returns weights of which one part has all."""
    return PartWeights.model_validate({name: float(name == part) for name in PartWeights.model_fields})


def best_weights(scores: PartScores, default: PartWeights) -> tuple[PartWeights, float]:
    """Returns the likeliest weights, each moved to where recall is highest, and their mean recall.

    Args:
        scores: Of a situation's validation cases.
        default: Kept unless the others gain on it beyond noise.
    """
    likely = likeliest(scores)
    best = likely.model_copy(update={"zero_shot": max(likely.zero_shot, _LEAST_ZERO_SHOT)})
    recall = scores.by_case(scores.total(best))
    for name in PartWeights.model_fields:
        if not scores.part(name).any():
            continue
        others = scores.total(best.model_copy(update={name: 0.0}))
        for weight in _near(name, getattr(best, name)):
            moved = scores.by_case(_plus(others, weight, scores.part(name)))
            if moved.mean() > recall.mean():
                best, recall = best.model_copy(update={name: weight}), moved
    kept = scores.by_case(scores.total(default))
    is_better = is_gain(recall - kept, errors=1 if len(scores.cases) >= ENOUGH else 2)
    return (best, float(recall.mean())) if is_better else (default, float(kept.mean()))


def _near(name: str, weight: float) -> list[float]:
    """Returns the weights of a part that are tried beside what it has."""
    near = {round(factor * weight, 4) for factor in _FACTORS} if weight else _FIRST
    return sorted({max(one, _LEAST_ZERO_SHOT) for one in near} if name == "zero_shot" else near)


def _plus(others: Matrix, weight: float, part: Matrix) -> Matrix:
    total: Matrix = others + np.float32(weight) * part
    return total
