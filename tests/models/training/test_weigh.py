"""What the parts weigh: never less recall than by default, and a handful of cases moves nothing within noise."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.fused import SITUATIONS, PartWeights, SituationWeights
from models.training import part_scores
from models.training import weigh as module
from models.training.fit_parts import fit_parts
from models.training.likeliest import likeliest
from models.training.part_scores import PartScores
from models.training.situations import by_situation
from models.training.split import Case, Task, split
from models.training.tower_module import TowerTraining
from models.training.weigh import best_weights, half_of, weigh
from models.types import Matrix, Vector
from tests.models.training.test_fit import world

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
        self.cases = [Case(user, "history", none, (), np.array([row]), False) for user, row in enumerate(targets)]


def pointing(at: Sequence[int]) -> Matrix:
    scores = np.zeros((len(at), N_ITEMS), np.float32)
    scores[np.arange(len(at)), at] = 9
    return scores


@pytest.mark.parametrize("knowing", ["behaviour", "tower", "popularity"])
def test_the_part_that_knows_is_found(knowing: str) -> None:
    targets = list(range(150))
    scores = Given(targets, **{knowing: pointing(targets)})
    assert best_weights(scores, ZERO_SHOT)[1] == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("start", [ZERO_SHOT, PartWeights(), PartWeights(zero_shot=0.1, behaviour=0.35, tower=1)])
def test_recall_is_no_lower_than_by_default_and_zero_shot_stays(start: PartWeights, seed: int) -> None:
    scores = Given(list(range(120)), seed)
    chosen, recall = best_weights(scores, start)
    assert recall == pytest.approx(scores.recall(chosen))
    assert scores.recall(start) <= recall
    assert chosen.zero_shot >= 0.05


def test_what_says_nothing_weighs_nothing() -> None:
    targets = list(range(150))
    scores = Given(targets, tower=pointing(targets), behaviour=np.zeros((150, N_ITEMS), np.float32))
    chosen = best_weights(scores, ZERO_SHOT)[0]
    assert (chosen.behaviour, chosen.tower) == (0, 1)


def test_recall_brings_back_what_likelihood_leaves_out() -> None:
    """Behaviour knows what ten of eleven want, and is so loudly wrong with the eleventh that likelihood wants none."""
    targets = list(range(220))
    telling = pointing(targets) / 3
    telling[::11] = 0
    telling[::11, 250:] = 300
    nothing = np.zeros_like(telling)
    scores = Given(targets, behaviour=telling, tower=nothing, popularity=nothing)
    likely = likeliest(scores)
    assert likely.behaviour == 0
    chosen, recall = best_weights(scores, ZERO_SHOT)
    assert chosen.behaviour > 0
    assert recall > scores.recall(likely) + 0.1


def test_one_case_moves_nothing() -> None:
    scores = Given([7], behaviour=pointing([7]))
    assert best_weights(scores, ZERO_SHOT)[0] == ZERO_SHOT


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
    assert (best_weights(scores, ZERO_SHOT)[0] != ZERO_SHOT) is moves


def test_either_half_gets_what_the_others_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions, features = world(texts=True)
    features = replace(features, queries=dict(zip(features.text_rows, range(12), strict=False)))
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features, training=TowerTraining(epochs=1))
    by_task: dict[Task, list[Case]] = {"text": [case for case in held_out.cases if case.task == "text"]}

    def best(scores: PartScores, _: PartWeights) -> tuple[PartWeights, float]:
        halves = {half_of(case) for case in scores.cases}
        return PartWeights(zero_shot=sum(halves), tower=len(scores.cases)), 0.0

    monkeypatch.setattr(module, "best_weights", best)
    found = weigh(parts, by_task, features, 1.0)
    for situation, cases in by_situation(by_task, features).items():
        sizes = [sum(half_of(case) == half for case in cases) for half in (0, 1)]
        assert min(sizes) > 0
        assert getattr(found.chosen, situation) == PartWeights(zero_shot=1, tower=sum(sizes))
        assert [getattr(unseen, situation) for unseen in found.unseen] == [
            PartWeights(zero_shot=1, tower=sizes[1]),
            PartWeights(zero_shot=0, tower=sizes[0]),
        ]


def test_a_half_that_nobody_chooses_for_keeps_the_default() -> None:
    interactions, features = world()
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features, training=TowerTraining(epochs=1))
    even = [case for case in held_out.cases if case.user % 2 == 0]
    found = weigh(parts, {"history": even}, features, 0.9)
    assert found.unseen[0] == SituationWeights()
    assert found.unseen[1] == found.chosen


def test_what_popularity_is_shifted_by_counts_in_every_situation_and_in_the_figures() -> None:
    interactions, features = world()
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features, training=TowerTraining(epochs=1))
    by_task: dict[Task, list[Case]] = {"history": [case for case in held_out.cases if case.task == "history"]}
    plain, shifted = (weigh(parts, by_task, features, 0.9, popularity=by) for by in (0.0, -2.0))
    for before, after in zip((plain.chosen, *plain.unseen), (shifted.chosen, *shifted.unseen), strict=True):
        for situation in SITUATIONS:
            expected = getattr(before, situation).popularity - 2
            assert getattr(after, situation).popularity == pytest.approx(expected)
    scores = PartScores(parts, sorted(by_task["history"], key=half_of), features, 0.9)
    measured, expected = shifted.figures["history"], scores.figures(shifted.chosen.history)
    assert isinstance(measured, dict)
    assert measured["product"] == expected != scores.figures(plain.chosen.history)


@pytest.mark.parametrize("n_scores", [1, 2 * N_ITEMS, 7 * N_ITEMS + 1])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, n_scores: int) -> None:
    """Of all cases, of a half of them, and of every third, as likelihood reads them."""
    targets = list(range(40))
    scores = Given(targets, tower=pointing(targets) / 4)
    parts = [scores, scores.some(slice(20, None)), scores.some(slice(None, None, 3))]
    weights = PartWeights(zero_shot=0.3, behaviour=0.5, tower=0.7, popularity=0.2)

    def found() -> list[tuple[Vector, PartWeights]]:
        return [(part.by_case(weights), likeliest(part)) for part in parts]

    whole = found()
    monkeypatch.setattr(part_scores, "_BLOCK_SCORES", n_scores)
    for (recall, likely), (expected, same) in zip(found(), whole, strict=True):
        np.testing.assert_array_equal(recall, expected)
        assert likely.model_dump() == pytest.approx(same.model_dump(), abs=2e-3)
    assert 0 < whole[0][0].mean() < 1
