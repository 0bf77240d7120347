"""What each part weighs, and how fast a history fades, by validation recall: climbs over scores that stand already."""

from collections.abc import Sequence

import numpy as np

from models.fused import PartWeights
from models.training.part_scores import PartScores
from models.types import Matrix

_WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
# A climb of one weight at a time ends where it can't rise, so there are several: led by what the situation begins with,
# by the tower, by behaviour, by none.
_STARTS = (
    PartWeights(zero_shot=0.1, behaviour=0.35, tower=1.0),
    PartWeights(zero_shot=0.1, behaviour=1.0, tower=0.35),
    PartWeights(zero_shot=0.35, behaviour=0.35, tower=0.35),
)
# What a text says is never left out: new items and short texts depend on it.
_LEAST_ZERO_SHOT = 0.1
_ROUNDS = 2
_LEAST_GAIN = 0.0005
# Of fewer cases a step has to gain more than one standard error of the paired differences: a handful moves nothing.
_FEW = 100


def weigh(scores: PartScores, start: PartWeights) -> PartWeights:
    """Returns the best weights that any climb ends at.

    Args:
        scores: Of a situation's validation cases.
        start: Where the first climb begins; of equally good ends its own is taken.
    """
    ends = [climb(scores, begin) for begin in (start, *_STARTS)]
    return max(ends, key=lambda end: end[1])[0]


def climb(scores: PartScores, start: PartWeights) -> tuple[PartWeights, float]:
    """Returns the weights found by changing one at a time while recall rises, and their mean recall."""
    best, recall = start, scores.by_case(scores.total(start))
    noise = 1.0 if len(recall) < _FEW else 0.0
    for _ in range(_ROUNDS):
        for name in PartWeights.model_fields:
            others = scores.total(best.model_copy(update={name: 0.0}))
            for weight in _allowed(name):
                gain = (found := scores.by_case(_plus(others, weight, scores.part(name)))) - recall
                if gain.mean() > max(noise * gain.std() / np.sqrt(len(gain)), _LEAST_GAIN):
                    best, recall = best.model_copy(update={name: weight}), found
    return best, float(recall.mean())


def _allowed(part: str) -> Sequence[float]:
    return [weight for weight in _WEIGHTS if part != "zero_shot" or weight >= _LEAST_ZERO_SHOT]


def _plus(others: Matrix, weight: float, part: Matrix) -> Matrix:
    total: Matrix = others + np.float32(weight) * part
    return total
