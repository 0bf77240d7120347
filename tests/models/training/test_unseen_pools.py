"""Pools by weights that their cases didn't choose: each case once, by its own half's."""

import numpy as np

from models.fused import PartWeights, SituationWeights
from models.training.fit_parts import fit_parts
from models.training.head import fit_head, make_pools
from models.training.split import split
from models.training.tower_module import TowerTraining
from models.training.unseen_pools import unseen_pools
from models.training.weigh import Weighed
from tests.models.training.test_fit import world

# Of either half.
WEIGHTS = [SituationWeights(history=PartWeights(zero_shot=weight)) for weight in (0.25, 0.75)]
WEIGHED = Weighed(SituationWeights(), (WEIGHTS[0], WEIGHTS[1]), {})


def test_pools_are_made_by_the_weights_of_their_half() -> None:
    interactions, features = world()
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features, training=TowerTraining(epochs=1))
    found = unseen_pools(parts, WEIGHED, held_out.cases, features, 0.9)
    halves = [[case for case in held_out.cases if case.user % 2 == half] for half in (0, 1)]
    items = parts.items.joined()
    expected = [
        make_pools(parts.matching(0.9, weights), items, parts.words, half, features)
        for half, weights in zip(halves, WEIGHTS, strict=True)
    ]
    for name in ("features", "right", "n_relevant", "situations", "of_users"):
        np.testing.assert_array_equal(
            getattr(found, name), np.concatenate([getattr(pools, name) for pools in expected])
        )


def test_a_half_of_which_nobody_is_has_no_pools() -> None:
    interactions, features = world()
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features, training=TowerTraining(epochs=1))
    even = [case for case in held_out.cases if case.user % 2 == 0]
    found = unseen_pools(parts, WEIGHED, even, features, 0.9)
    assert len(found.right) == len(even)
    assert fit_head(found)[1]["cases"] == len(even)
