"""The likelihood against what torch makes of it, and its top against a search of the neighbourhood."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.fused import PartWeights
from models.training import likeliest as module
from models.training.likeliest import Likelihood, likeliest
from models.training.part_scores import PartScores
from models.training.split import Case
from models.types import Vector

NAMES = list(PartWeights.model_fields)
N_ITEMS = 40


class Drawn(PartScores):
    """Scores that know the targets a little, each part less than the one before; users have histories."""

    def __init__(self, n_cases: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.cases: Sequence[Case] = [_case(rng) for _ in range(n_cases)]
        self._scores = {name: rng.standard_normal((n_cases, N_ITEMS)).astype(np.float32) for name in NAMES}
        for place, name in enumerate(NAMES):
            for scores, case in zip(self._scores[name], self.cases, strict=True):
                scores[case.targets] += (2, 1, 0.5, 0)[place]


def _case(rng: np.random.Generator) -> Case:
    items = rng.permutation(N_ITEMS)
    n_seen, n_asked = int(rng.integers(0, 5)), int(rng.integers(1, 4))
    return Case(0, "history", items[:n_seen], (), items[n_seen : n_seen + n_asked], is_new_user=False)


def by_torch(scores: PartScores, weights: Vector) -> tuple[float, Vector]:
    asked = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    losses = []
    for row, case in enumerate(scores.cases):
        parts = torch.from_numpy(np.stack([scores.part(name)[row] for name in NAMES])).double()
        total = asked @ parts
        total[case.history] = -torch.inf
        losses.append(-torch.log_softmax(total, 0)[case.targets].mean())
    loss = torch.stack(losses).mean()
    (gradient,) = torch.autograd.grad(loss, asked)
    return loss.item(), gradient.numpy()


@given(st.integers(0, 1_000), st.lists(st.floats(0, 3), min_size=4, max_size=4))
def test_likelihood_and_gradient_are_torchs(seed: int, weights: list[float]) -> None:
    scores = Drawn(12, seed)
    loss, gradient = Likelihood(scores, NAMES)(np.array(weights))
    expected, expected_gradient = by_torch(scores, np.array(weights))
    assert loss == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-4)


def test_nothing_near_the_likeliest_weights_is_likelier() -> None:
    scores = Drawn(300)
    found = likeliest(scores)
    weights = np.array([getattr(found, name) for name in NAMES])
    assert weights.max() == 1
    assert found.zero_shot > found.behaviour > found.tower > found.popularity

    def best_of(direction: Vector) -> float:  # the weights' scale is another matter than their shares
        return min(Likelihood(scores, NAMES)(scale * direction)[0] for scale in np.linspace(0.1, 4, 100))

    for moved in np.eye(4):
        for step in (-0.1, 0.1):
            assert best_of(weights) <= best_of(np.maximum(weights + step * moved, 0)) + 1e-4


@pytest.mark.parametrize(("most_scores", "enough", "step"), [(100, 50, 3), (1, 100, 2), (1, 300, 1)])
def test_of_many_cases_a_part_is_read_but_no_handful(
    most_scores: int, enough: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_SCORES", most_scores * N_ITEMS)
    monkeypatch.setattr(module, "_ENOUGH_CASES", enough)
    scores, part = Drawn(250), Drawn(250)
    part.cases = scores.cases[::step]
    part._scores = {name: scores.part(name)[::step] for name in NAMES}
    found = likeliest(scores)
    monkeypatch.undo()
    assert found == likeliest(part)
