"""What the age of items is worth."""

from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.training.freshness import clock_problem, fit_freshness
from models.training.interactions import Interactions

BANDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)


def _past(items: list[int], times: list[float] | None) -> Interactions:
    users = np.arange(len(items)) % 7
    return Interactions(
        users, tuple("abcdefg"), np.array(items, np.int64), None if times is None else np.array(times, np.float64)
    )


def _newest_are_wanted(n: int = 200) -> tuple[NDArray[np.float64], Interactions]:
    """An item an hour, each consumed as soon as it is there, by one user after the other."""
    return np.arange(n, dtype=np.float64), _past(list(range(n)), [row + 0.5 for row in range(n)])


def _by_hand(item_times: list[float], past: Interactions) -> tuple[NDArray[np.float64], float]:
    """What each item is worth, and a new one, by the module's first lines: item by item and event by event."""
    assert past.times is not None

    def band(came: float, at: float) -> int:
        existing = [time for time in item_times if time <= at]
        newer = sum(time > came for time in existing) / max(len(existing), 1)
        return min(bisect_right(BANDS, newer), 6)

    counts, chance, n = [0.0] * 7, [0.0] * 7, len(past)
    for row, at in zip(past.items, past.times, strict=True):
        counts[band(item_times[row], at)] += 1
        existing = [time for time in item_times if time <= at]
        for came in existing:
            chance[band(came, at)] += 1 / len(existing) / n
    worth = [
        float(np.log((count + 20 * share) / (n + 20) / share)) if share else 0.0
        for count, share in zip(counts, chance, strict=True)
    ]
    return np.array([worth[band(came, past.times.max())] for came in item_times]), worth[0]


@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=40),
    st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 5)), min_size=8, max_size=30),
)
def test_it_is_what_counting_by_hand_gives(item_times: list[int], events: list[tuple[int, int]]) -> None:
    """Small catalogues and items that came together, too."""
    came = [float(time) for time in item_times]
    rows = [row % len(came) for row, _ in events]
    past = _past(rows, [came[row] + later + 0.5 for row, (_, later) in zip(rows, events, strict=True)])

    fresh = fit_freshness(np.array(came), past)

    worth, newest = _by_hand(came, past)
    if clock_problem(np.array(came), past) or np.ptp(worth) < 1e-9:
        assert fresh is None
        return
    assert fresh is not None
    np.testing.assert_allclose(fresh.items, (worth - worth.mean()) / worth.std(), rtol=1e-4, atol=1e-5)
    assert fresh.newest == pytest.approx((newest - worth.mean()) / worth.std(), rel=1e-4, abs=1e-5)


def test_where_the_newest_are_wanted_they_are_worth_most() -> None:
    fresh = fit_freshness(*_newest_are_wanted())

    assert fresh is not None
    assert fresh.newest == pytest.approx(fresh.items.max())
    assert fresh.items.argmax() >= 198
    assert fresh.newest > 3


def test_what_comes_after_the_past_counts_as_its_newest() -> None:
    item_times, past = _newest_are_wanted()

    fresh = fit_freshness(np.append(item_times, [1_000, 2_000]), past)

    assert fresh is not None
    np.testing.assert_allclose(fresh.items[-2:], fresh.newest, rtol=1e-5)


def test_an_item_whose_time_is_not_known_is_worth_the_average() -> None:
    item_times, past = _newest_are_wanted()
    item_times[[0, 5, 6]] = np.nan, np.inf, -np.inf

    fresh = fit_freshness(item_times, past)

    assert fresh is not None
    assert fresh.items[[0, 5, 6]].tolist() == [0, 0, 0]
    assert np.isfinite(fresh.items).all()


@pytest.mark.parametrize("batch", [1, 10])
def test_where_any_item_that_exists_is_as_likely_the_newest_are_worth_no_more(batch: int) -> None:
    """A growing catalogue, item by item or by batches: the newest hundredth isn't wanted by chance alone."""
    rng = np.random.default_rng(0)
    item_times = np.repeat(np.arange(300 // batch), batch) * 1.0
    at = rng.integers(1, 300 // batch, 4_000)
    items = [int(rng.integers((hour + 1) * batch)) for hour in at]
    users = rng.permutation(4_000) % 500
    past = Interactions(users, tuple(map(str, range(500))), np.array(items), at + 0.5)

    fresh = fit_freshness(item_times, past)

    wanted = fit_freshness(*_newest_are_wanted(300))
    assert fresh is not None
    assert wanted is not None
    assert abs(fresh.newest) < wanted.newest / 2


def test_a_day_of_events_is_not_before_the_items_of_that_day() -> None:
    """Events have dates alone, items the hour as well."""
    item_times, past = _newest_are_wanted()
    assert past.times is not None
    days = Interactions(past.users, past.user_ids, past.items, np.floor(past.times) * 86_400)

    assert fit_freshness(item_times * 86_400 + 7_200, days) is not None


@pytest.mark.parametrize(
    ("item_times", "past", "why"),
    [
        (np.arange(200.0), _past(list(range(200)), None), "no times of a clock"),
        (np.arange(200.0), _past([0, 1, 2, 3, 4, 5, 6, 0, 1, 2], [0.0] * 7 + [1.0] * 3), "no times of a clock"),
        (np.full(200, np.nan), _newest_are_wanted()[1], "no item that was consumed has a time"),
        (np.arange(200.0) * 1_000, _newest_are_wanted()[1], "100% of the interactions come before their item"),
        (np.arange(200.0) / 1_000, _newest_are_wanted()[1], "no item came while the interactions happened"),
        (np.zeros(200), _newest_are_wanted()[1], "no item came while the interactions happened"),
    ],
    ids=["unordered", "positions", "none known", "milliseconds", "kiloseconds", "all of one age"],
)
def test_where_times_say_nothing_there_is_none_and_a_reason(
    item_times: NDArray[np.float64], past: Interactions, why: str
) -> None:
    assert fit_freshness(item_times, past) is None
    assert why in (clock_problem(item_times, past) or "")


def test_without_times_there_is_none() -> None:
    assert fit_freshness(None, _newest_are_wanted()[1]) is None
    assert clock_problem(*_newest_are_wanted()) is None


@given(st.integers(1, 10_000), st.integers(-10_000, 10_000))
def test_it_needs_no_unit_of_time(scale: int, start: int) -> None:
    item_times, past = _newest_are_wanted(50)
    assert past.times is not None
    other = Interactions(past.users, past.user_ids, past.items, past.times * scale + start)

    plain, scaled = fit_freshness(item_times, past), fit_freshness(item_times * scale + start, other)

    assert plain is not None
    assert scaled is not None
    np.testing.assert_allclose(scaled.items, plain.items, rtol=1e-6)
