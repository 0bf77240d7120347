"""What each part weighs, and how fast a history fades: weights by likelihood, then by validation recall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch

from models.fused import SITUATIONS, PartWeights, SituationWeights
from models.training.features import Features
from models.training.gains import is_gain
from models.training.likeliest import likeliest
from models.training.metrics import PerUser
from models.training.part_scores import FittedParts, PartScores
from models.training.side_by_side import side_by_side
from models.training.situations import ENOUGH, by_situation
from models.training.split import Case, Task
from models.types import JsonValue

# By likelihood weights are nearly right; recall, which is what counts, moves them a little.
_FACTORS = (0.0, 0.5, 0.7, 1.4, 2.0)
_FIRST = {0.1, 0.2}  # of a part that likelihood left out
# What a text says is never left out: new items and short texts depend on it. By likelihood the largest weight is 1.
_LEAST_ZERO_SHOT = 0.05
_FRESHNESS = (0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Weights by situation, and what they reach.

    Attributes:
        chosen: By all cases.
        unseen: For the cases of either half, chosen by the others: weights are nearly always a little better for the
            cases that chose them.
        figures: By situation, recall of all cases by `chosen` and by other weights.
    """

    chosen: SituationWeights
    unseen: tuple[SituationWeights, SituationWeights]
    figures: dict[str, JsonValue]


def half_of(case: Case) -> int:
    """Returns which half a case belongs to: by its user, or, where a few words ask for their item, by that."""
    return int(case.user if case.user >= 0 else case.targets[0]) % 2


def best_decay(
    parts: FittedParts, by_task: Mapping[Task, Sequence[Case]], features: Features, decays: Sequence[float]
) -> float:
    """Returns what a step back in texts or history multiplies a weight by, for the best validation recall.

    Args:
        parts: Fitted on what was before the cases.
        by_task: Validation cases.
        features: Of their texts.
        decays: What is tried.
    """
    main: Task = "history" if "history" in by_task else "text"

    def reached_with(decay: float) -> float:  # one decay's scores at a time: together they take gigabytes
        return best_weights(PartScores(parts, by_task[main], features, decay), getattr(SituationWeights(), main))[1]

    return max(decays, key=reached_with) if len(decays) > 1 else decays[0]


def weigh(
    parts: FittedParts,
    by_task: Mapping[Task, Sequence[Case]],
    features: Features,
    decay: float,
    *,
    popularity: float = 0.0,
) -> Weighed:
    """Returns the weights of each situation that has cases; others keep the default.

    Args:
        parts: Fitted on what was before the cases.
        by_task: Validation cases.
        features: Of their texts, and of the queries.
        decay: What a step back in texts or history multiplies a weight by.
        popularity: Added to what popularity weighs in every situation, and so in the figures; below 0 rarer items come
            up.
    """
    default, figures = SituationWeights(), dict[str, JsonValue]()
    chosen: list[dict[str, PartWeights]] = [{}, {}, {}]
    with side_by_side(torch.get_num_threads(), 1) as workers:
        for situation, cases in by_situation(by_task, features).items():
            first = sorted(cases, key=half_of)  # so that halves are views of the scores
            scores, n_first = PartScores(parts, first, features, decay), sum(half_of(case) == 0 for case in first)
            choosing = [scores, scores.some(slice(n_first, None)), scores.some(slice(n_first))]
            best = workers.map(best_weights, choosing, repeat(getattr(default, situation)))
            for by_these, (weights, _) in zip(chosen, best, strict=True):
                by_these[situation] = weights
            figures[situation] = {
                "cases": len(cases),
                "product": scores.figures(_shifted(chosen[0][situation], popularity)),
                "zero_shot": scores.figures(alone("zero_shot")),
                "popularity": scores.figures(alone("popularity")),
            }
    by_all, *unseen = (
        SituationWeights(
            **{name: _shifted(by_these.get(name, getattr(default, name)), popularity) for name in SITUATIONS}
        )
        for by_these in chosen
    )
    return Weighed(by_all, (unseen[0], unseen[1]), figures)


def _shifted(weights: PartWeights, popularity: float) -> PartWeights:
    return weights.model_copy(update={"popularity": weights.popularity + popularity})


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
        return scores.by_case(best_weights(scores, getattr(SituationWeights(), task))[0])

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
        default: Kept unless the others gain on it beyond noise, and where there is no case.
    """
    if not scores.cases:
        return default, 0.0
    likely = likeliest(scores)
    best = likely.model_copy(update={"zero_shot": max(likely.zero_shot, _LEAST_ZERO_SHOT)})
    recall = scores.by_case(best)
    for name in PartWeights.model_fields:
        if not scores.part(name).any():
            continue
        for weight in _near(name, getattr(best, name)):
            tried = best.model_copy(update={name: weight})
            if (moved := scores.by_case(tried)).mean() > recall.mean():
                best, recall = tried, moved
    kept = scores.by_case(default)
    is_better = is_gain(recall - kept, errors=1 if len(scores.cases) >= ENOUGH else 2)
    return (best, float(recall.mean())) if is_better else (default, float(kept.mean()))


def _near(name: str, weight: float) -> list[float]:
    """Returns the weights of a part that are tried beside what it has."""
    near = {round(factor * weight, 4) for factor in _FACTORS} if weight else _FIRST
    return sorted({max(one, _LEAST_ZERO_SHOT) for one in near} if name == "zero_shot" else near)
