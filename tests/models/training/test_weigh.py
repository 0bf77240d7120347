"""What the parts weigh: a climb ends no lower than it begins, and a handful of cases moves nothing within noise."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.fused import PartWeights
from models.training.part_scores import PartScores
from models.training.split import Case
from models.training.weigh import climb
from models.types import Matrix

N_ITEMS = 300
ZERO_SHOT = PartWeights(zero_shot=1, behaviour=0, tower=0)


class Given(PartScores):
    """Scores that a test made up; what isn't given is noise."""

    def __init__(self, targets: Sequence[int], seed: int = 0, **given: Matrix) -> None:
        rng = np.random.default_rng(seed)
        shape = (len(targets), N_ITEMS)
        self._scores = {
            name: given.get(name, rng.standard_normal(shape).astype(np.float32)) for name in PartWeights.model_fields
        }
        none = np.empty(0, np.int64)
        self._cases = [Case(user, "history", none, (), np.array([row]), False) for user, row in enumerate(targets)]


def pointing(at: Sequence[int]) -> Matrix:
    scores = np.zeros((len(at), N_ITEMS), np.float32)
    scores[np.arange(len(at)), at] = 9
    return scores


@pytest.mark.parametrize("knowing", ["behaviour", "tower", "popularity"])
def test_the_part_that_knows_is_found(knowing: str) -> None:
    targets = list(range(150))
    scores = Given(targets, **{knowing: pointing(targets)})
    assert climb(scores, ZERO_SHOT)[1] == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("start", [ZERO_SHOT, PartWeights(), PartWeights(zero_shot=0.1, behaviour=0.35, tower=1)])
def test_a_climb_ends_no_lower_than_it_begins_and_zero_shot_stays(start: PartWeights, seed: int) -> None:
    scores = Given(list(range(120)), seed)
    end, recall = climb(scores, start)
    assert recall == pytest.approx(scores.recall(end))
    assert scores.recall(start) <= recall
    assert end.zero_shot >= 0.1


@pytest.mark.parametrize(("times", "moves"), [(1, False), (10, True)], ids=["a handful", "a hundred"])
def test_a_handful_of_cases_moves_nothing_within_noise(times: int, *, moves: bool) -> None:
    """Behaviour finds two targets of ten that zero-shot misses, and misses one that it finds."""
    targets = list(range(10)) * times
    right = pointing(targets)
    place = np.arange(len(targets)) % 10
    found, lost = (place < 2)[:, None], (place == 2)[:, None]
    scores = Given(
        targets,
        zero_shot=np.where(found, 9 - right, right),
        behaviour=20 * np.where(lost, 9 - right, right),  # so much that the least weight turns both
        tower=np.zeros_like(right),
        popularity=np.zeros_like(right),
    )
    assert (climb(scores, ZERO_SHOT)[0] != ZERO_SHOT) is moves
