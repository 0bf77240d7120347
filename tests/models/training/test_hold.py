"""The behaviour part is held more strongly where validation says so, and only there."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from models.training import hold
from models.training.hold import held_by_validation
from models.training.l3ae import Regularisation, history_matrix
from models.training.split import Case
from models.types import Rows

N_ITEMS, N_THEMES = 300, 3
NO_FEATURES = np.empty((N_ITEMS, 0), np.float32)


def histories(rng: np.random.Generator, *, n_users: int, length: int, loyalty: float = 0.9) -> list[Rows]:
    """Users keep to the items of one theme, mostly: each pair of items is seen so often as chance has it."""
    weights = np.where(np.arange(N_ITEMS) % N_THEMES == rng.integers(N_THEMES, size=n_users)[:, None], loyalty, 0.1)
    weights /= weights.sum(axis=1, keepdims=True)
    return [rng.choice(N_ITEMS, length, replace=False, p=row) for row in weights]


def past_and_cases(*, n_users: int, length: int) -> tuple[csr_matrix, list[Case]]:
    users = histories(np.random.default_rng(0), n_users=n_users, length=length)
    return history_matrix([items[:-1] for items in users], N_ITEMS, longest=length), cases_of(users)


def cases_of(users: list[Rows]) -> list[Case]:
    return [Case(row, "history", items[:-1], (), items[-1:], is_new_user=False) for row, items in enumerate(users)]


def test_what_is_consumed_much_by_few_is_held_more_strongly() -> None:
    """Pairs of items are seen often, and mean nothing but their theme: weak ridge learns the noise."""
    past, cases = past_and_cases(n_users=400, length=60)
    held = held_by_validation(past, NO_FEATURES, cases).held
    assert held.ridge == held.prior
    assert held.ridge > Regularisation().prior


def test_without_cases_it_is_held_as_it_ships() -> None:
    past, cases = past_and_cases(n_users=50, length=5)
    assert held_by_validation(past, NO_FEATURES, []).held == Regularisation()
    nothing_known = [Case(0, "text", np.empty(0, np.int64), ("words",), cases[0].targets, is_new_user=True)]
    assert held_by_validation(past, NO_FEATURES, nothing_known).held == Regularisation()


def test_a_gain_within_noise_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One case gains, another loses a little less: that may be chance."""
    recalls = iter([np.array([0.0, 0.5]), np.array([0.4, 0.2])])
    monkeypatch.setattr(hold, "_recall", lambda *_: next(recalls))
    past, cases = past_and_cases(n_users=50, length=5)
    assert held_by_validation(past, NO_FEATURES, cases).held == Regularisation()
