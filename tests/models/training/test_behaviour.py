"""The behaviour part is held more strongly, and reads further back, where validation says so, and only there."""

from typing import Any

import numpy as np
import pytest

from models.training import behaviour
from models.training.behaviour import BehaviourFit, fit_by_validation
from models.training.l3ae import L3AE, Regularisation
from models.training.split import Case
from models.types import Rows

N_ITEMS, N_THEMES = 300, 3
NO_FEATURES = np.empty((N_ITEMS, 0), np.float32)


def histories(rng: np.random.Generator, *, n_users: int, length: int, loyalty: float = 0.9) -> list[Rows]:
    """Users keep to the items of one theme, mostly: each pair of items is seen so often as chance has it."""
    weights = np.where(np.arange(N_ITEMS) % N_THEMES == rng.integers(N_THEMES, size=n_users)[:, None], loyalty, 0.1)
    weights /= weights.sum(axis=1, keepdims=True)
    return [rng.choice(N_ITEMS, length, replace=False, p=row) for row in weights]


def past_and_cases(*, n_users: int, length: int) -> tuple[list[Rows], list[Case]]:
    users = histories(np.random.default_rng(0), n_users=n_users, length=length)
    return [items[:-1] for items in users], cases_of(users)


def cases_of(users: list[Rows]) -> list[Case]:
    return [Case(row, "history", items[:-1], (), items[-1:], is_new_user=False) for row, items in enumerate(users)]


def chosen(past: list[Rows], cases: list[Case], *, decays: tuple[float, ...] = (0.8,)) -> BehaviourFit:
    fit, model = fit_by_validation(past, NO_FEATURES, cases, decays=decays)
    every = np.eye(N_ITEMS, dtype=np.float32)
    np.testing.assert_array_equal(model.times(every), fit.on(past, NO_FEATURES).times(every))
    return fit


def test_what_is_consumed_much_by_few_is_held_more_strongly() -> None:
    """Pairs of items are seen often, and mean nothing but their theme: weak ridge learns the noise."""
    held = chosen(*past_and_cases(n_users=400, length=60)).held
    assert held.ridge == held.prior
    assert held.ridge > Regularisation().prior


def test_without_cases_it_is_fitted_as_it_ships() -> None:
    past, cases = past_and_cases(n_users=50, length=5)
    assert chosen(past, []) == BehaviourFit()
    nothing_known = [Case(0, "text", np.empty(0, np.int64), ("words",), cases[0].targets, is_new_user=True)]
    assert chosen(past, nothing_known) == BehaviourFit()


def test_a_gain_within_noise_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One case gains, another loses a little less: that may be chance."""
    recalls = iter([np.array([0.0, 0.5]), np.array([0.4, 0.2])])
    monkeypatch.setattr(behaviour, "_recall", lambda *_: next(recalls))
    past, cases = past_and_cases(n_users=50, length=5)
    assert chosen(past, cases) == BehaviourFit()


def pairs(*, turned: bool) -> tuple[list[Rows], list[Case]]:
    """Users consume two items at a time, and are asked for the second; lately, or long ago, which two is chance."""
    rng, half = np.random.default_rng(0), N_ITEMS // 2
    partner, chance = half + np.roll(np.arange(half), 1), half + np.arange(half)
    past, cases = [], []
    for user in range(60):
        first, second = rng.permutation(half), rng.permutation(chance)
        goes_together = np.arange(half) >= 110 if turned else np.arange(half) < 110
        second = np.where(goes_together, partner[first], second)
        past.append(np.column_stack([first, second])[:130].reshape(-1))
        asked = np.append(past[-1], first[130])
        cases.append(Case(user, "history", asked, (), partner[first[130:131]], is_new_user=False))
    return past, cases


def test_what_stands_further_back_alone_is_counted() -> None:
    """Of sixty items in six hundred events, the newest fifty events hold ten."""
    often = np.concatenate([np.repeat(np.arange(60), 9), np.repeat(np.arange(10), 5)])
    assert behaviour._share_beyond([often], 60, 50) == 50 / 60
    assert behaviour._share_beyond([np.arange(50), np.arange(10)], 60, 50) == 0
    assert behaviour._share_beyond([], 60, 50) == 0


@pytest.mark.parametrize("turned", [False, True])
def test_it_reads_as_far_back_as_helps(*, turned: bool) -> None:
    assert (chosen(*pairs(turned=turned)).longest == 50) == turned


def test_where_histories_are_short_nothing_further_back_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    fitted = BehaviourFit.on

    def on(self: BehaviourFit, *args: Any, **more: Any) -> L3AE:  # passed on
        tried.append(self.longest)
        return fitted(self, *args, **more)

    monkeypatch.setattr(BehaviourFit, "on", on)
    past, cases = past_and_cases(n_users=60, length=30)
    fit_by_validation(past, NO_FEATURES, cases, decays=(1.0,))
    assert set(tried) == {50}
