"""How popular items are: ever, and lately."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.interactions import Interactions
from models.training.popularity import WINDOWS, fit_trends, standard_popularity


def _past(events: list[tuple[int, int]], times: list[float] | None) -> Interactions:
    users, items = (np.array(column, np.int64) for column in zip(*events, strict=True))
    known = None if times is None else np.array(times, np.float64)
    return Interactions(users, tuple(map(str, range(users.max() + 1))), items, known)


def _deviations(values: list[float]) -> list[float]:
    return list((np.array(values) - np.mean(values)) / np.std(values))


def test_popularity_is_in_deviations_of_its_log_over_the_items_that_have_users() -> None:
    found = standard_popularity(np.array([0, 1, 3, 7], np.float32))
    np.testing.assert_allclose(found, [0, *_deviations([np.log(2), np.log(4), np.log(8)])], rtol=1e-6)
    assert not standard_popularity(np.array([0, 2, 2], np.float32)).any()
    assert not standard_popularity(np.zeros(3, np.float32)).any()


def test_what_is_consumed_lately_comes_up() -> None:
    """Item 0 had ten users long ago, item 1 five then and ten in the newest tenth, item 2 nobody: worked by hand."""
    long_ago = [(user, 0) for user in range(10)] + [(user, 1) for user in range(5)]
    before = [(user, 3 + user) for user in range(75)]  # one user each
    lately = [(10 + user, 1) for user in range(10)]
    events = [*long_ago, *before, *lately]
    trends = fit_trends(_past(events, [float(row) for row in range(100)]), 78)

    assert tuple(trends) == WINDOWS
    # The newest tenth is all of item 1's, ten users who count as the hundred of all time.
    ever = np.array([10, 15, *[1] * 75])
    both = np.array([10 / 2, (15 + 100) / 2, *[1 / 2] * 75])
    wanted = np.array(_deviations(list(np.log1p(both)))) - _deviations(list(np.log1p(ever)))
    np.testing.assert_allclose(np.delete(trends[0.1], 2), wanted, rtol=1e-4, atol=1e-6)
    assert trends[0.1][2] == 0
    assert trends[0.1][1] > 0 > trends[0.1][0]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=2, max_size=60), st.integers(0, 3))
def test_trends_are_finite_and_say_nothing_of_items_without_users(events: list[tuple[int, int]], step: int) -> None:
    """Many events at one time, too."""
    users = {user: place for place, user in enumerate(sorted({user for user, _ in events}))}
    past = _past([(users[user], item) for user, item in events], [float(row * step) for row in range(len(events))])
    unseen = np.setdiff1d(np.arange(10), past.items)
    for trend in fit_trends(past, 10).values():
        assert trend.dtype == np.float32
        assert np.isfinite(trend).all()
        assert not trend[unseen].any()


@pytest.mark.parametrize("times", [None, [0.0, 1.0, 0.0, 1.0]])
def test_without_a_clock_there_is_no_lately(times: list[float] | None) -> None:
    """Positions in each user's own sequence say nothing of when."""
    assert fit_trends(_past([(0, 0), (0, 1), (1, 1), (1, 0)], times), 2) == {}
