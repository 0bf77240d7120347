"""Pools by weights that their cases didn't choose: each case once, and never among those that chose for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.fused import FusedMatching, PartWeights, SituationWeights
from models.training import unseen_pools as module
from models.training.features import Features
from models.training.fit_parts import fit_parts
from models.training.head import Pools, fit_head, make_pools
from models.training.part_scores import FittedParts
from models.training.situations import queries_of
from models.training.split import Case, Task, split
from models.training.tower_module import TowerTraining
from models.training.unseen_pools import unseen_pools
from models.types import JsonValue, Matrix
from tests.models.training.test_fit import world

# By the half that chose it: halves that ask of each other never have the same.
WEIGHTS = [SituationWeights(history=PartWeights(zero_shot=weight)) for weight in (0.25, 0.75)]


def key(case: Case) -> tuple[int, int]:
    return case.user, int(case.targets[0])


def test_no_case_has_chosen_the_weights_of_its_own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions, features = world(texts=True)
    row_of = dict(zip(features.text_rows, range(12), strict=False))
    features = replace(features, queries=row_of)
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features, training=TowerTraining(epochs=1))
    by_task: dict[Task, list[Case]] = {"text": [case for case in held_out.cases if case.task == "text"]}
    judged = [*by_task["text"], *queries_of(features)]
    chose: list[set[tuple[int, int]]] = []
    asked: list[set[tuple[int, int]]] = []

    def weigh(
        _: FittedParts, by: Mapping[str, Sequence[Case]], __: Features, ___: float
    ) -> tuple[SituationWeights, dict[str, JsonValue]]:
        chose.append({key(case) for cases in by.values() for case in cases})
        return WEIGHTS[len(chose) - 1], {}

    def pools(
        matching: FusedMatching, items: Matrix, words: Matrix, cases: Sequence[Case], features: Features
    ) -> Pools:
        assert matching.weights == WEIGHTS[len(asked)]
        asked.append({key(case) for case in cases})
        return make_pools(matching, items, words, cases, features)

    monkeypatch.setattr(module, "weigh_situations", weigh)
    monkeypatch.setattr(module, "make_pools", pools)
    found = unseen_pools(parts, by_task, judged, features, 1.0)
    assert len(found.right) == len(judged) == sum(map(len, asked))
    everybody = {key(case) for case in judged}
    for choosing, asking in zip(chose, asked, strict=True):
        assert choosing
        assert choosing <= everybody - asking
        assert asking


def test_pools_are_those_of_either_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one set of weights for both halves, the pools are those of all cases, in another order."""
    interactions, features = world()
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features, training=TowerTraining(epochs=1))
    monkeypatch.setattr(module, "weigh_situations", lambda *_: (WEIGHTS[0], {}))
    found = unseen_pools(parts, {"history": held_out.cases}, held_out.cases, features, 0.9)
    matching = parts.matching(0.9, WEIGHTS[0])
    order = sorted(held_out.cases, key=lambda case: case.user % 2)
    expected = make_pools(matching, parts.items.joined(), parts.words, order, features)
    for name in ("features", "right", "n_relevant", "situations", "of_users"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_half_of_which_nobody_is_has_no_pools() -> None:
    interactions, features = world()
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features, training=TowerTraining(epochs=1))
    even = [case for case in held_out.cases if case.user % 2 == 0]
    found = unseen_pools(parts, {"history": even}, even, features, 0.9)
    assert len(found.right) == len(even)
    assert fit_head(found)[1]["cases"] == len(even)
