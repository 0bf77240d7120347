"""What the age of items is worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.training.freshness import fit_freshness
from models.training.interactions import Interactions


def _past(items: list[int], times: list[float] | None) -> Interactions:
    users = np.arange(len(items)) % 7
    return Interactions(
        users, tuple("abcdefg"), np.array(items, np.int64), None if times is None else np.array(times, np.float64)
    )


def _newest_are_wanted(n: int = 200) -> tuple[NDArray[np.float64], Interactions]:
    """An item a day, each consumed on the day that it comes, by one user after the other."""
    return np.arange(n, dtype=np.float64), _past(list(range(n)), [row + 0.5 for row in range(n)])


def test_it_is_the_log_of_how_many_times_as_often_as_by_chance() -> None:
    item_times, past = _newest_are_wanted()

    fresh = fit_freshness(item_times, past)

    # All 200 events are of the newest item: in the first band, a hundredth wide, whose prior is .2 of 20 events.
    worth = np.log(np.array([(200 + 0.2) / 220 / 0.01, 20 / 220, 20 / 220]))
    values = np.full(200, worth[1])
    values[-2:] = worth[0]  # newer than all others, and than all but 1 of 200: .005 < .01
    assert fresh is not None
    np.testing.assert_allclose(fresh.items, (values - values.mean()) / values.std(), rtol=1e-5)
    assert fresh.newest == pytest.approx((worth[0] - values.mean()) / values.std())


def test_what_comes_after_the_past_counts_as_its_newest() -> None:
    item_times, past = _newest_are_wanted()

    fresh = fit_freshness(np.append(item_times, [1_000, 2_000]), past)

    assert fresh is not None
    np.testing.assert_allclose(fresh.items[-2:], fresh.newest, rtol=1e-5)


def test_an_item_whose_time_is_not_known_is_worth_the_average() -> None:
    item_times, past = _newest_are_wanted()
    item_times[[0, 5]] = np.nan

    fresh = fit_freshness(item_times, past)

    assert fresh is not None
    assert fresh.items[[0, 5]].tolist() == [0, 0]
    assert np.isfinite(fresh.items).all()


def test_where_age_says_nothing_all_ages_are_worth_nearly_the_same() -> None:
    rng = np.random.default_rng(0)
    past = _past(rng.integers(300, size=4_000).tolist(), (300 + np.arange(4_000.0)).tolist())

    wanted, chance = fit_freshness(*_newest_are_wanted(300)), fit_freshness(np.arange(300.0), past)

    assert wanted is not None
    assert chance is not None
    assert chance.newest < wanted.newest / 3


@pytest.mark.parametrize(
    ("item_times", "past"),
    [
        (None, _newest_are_wanted()[1]),
        (np.arange(200.0), _past(list(range(200)), None)),
        (np.arange(200.0), _past([0, 1, 2, 3, 4, 5, 6, 0, 1, 2], [0.0] * 7 + [1.0] * 3)),  # positions, no clock
        (np.full(200, np.nan), _newest_are_wanted()[1]),
        (np.arange(200.0) * 1_000, _newest_are_wanted()[1]),  # milliseconds beside seconds: items of the future
        (np.zeros(200), _newest_are_wanted()[1]),
    ],
    ids=["no times", "unordered", "positions", "none known", "another clock", "all of one age"],
)
def test_where_times_say_nothing_there_is_none(item_times: NDArray[np.float64] | None, past: Interactions) -> None:
    assert fit_freshness(item_times, past) is None


@given(st.integers(1, 10_000), st.integers(-10_000, 10_000))
def test_it_needs_no_unit_of_time(scale: int, start: int) -> None:
    item_times, past = _newest_are_wanted(50)
    assert past.times is not None
    other = Interactions(past.users, past.user_ids, past.items, past.times * scale + start)

    plain, scaled = fit_freshness(item_times, past), fit_freshness(item_times * scale + start, other)

    assert plain is not None
    assert scaled is not None
    np.testing.assert_allclose(scaled.items, plain.items, rtol=1e-6)
