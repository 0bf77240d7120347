"""Nothing of the future is in the past, whatever the table looks like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.training.interactions import Interactions
from models.training.split import Split, events_by_user, holdout_of, split

ROWS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 19), st.integers(0, 50)), min_size=30, max_size=200)


def table(
    rows: list[tuple[int, int, int]], *, timed: bool = True, texts: list[str | None] | None = None
) -> Interactions:
    users, items, times = (np.array(column) for column in zip(*rows, strict=True))
    return Interactions(
        users=users.astype(np.int64),
        user_ids=tuple(f"u{user}" for user in range(10)),
        items=items.astype(np.int64),
        times=times.astype(np.float64) if timed else None,
        texts=tuple(texts) if texts else None,
    )


def pairs(interactions: Interactions) -> set[tuple[int, int]]:
    return set(zip(interactions.users.tolist(), interactions.items.tolist(), strict=True))


@given(ROWS)
def test_clock_keeps_the_past_before_every_target(rows: list[tuple[int, int, int]]) -> None:
    """The newest time that is fitted on lies before the oldest that is asked for."""
    interactions = table(rows)
    assert interactions.times is not None
    try:
        result = split(interactions, holdout="clock")
    except DataError:
        return
    assert result.past.times is not None
    newest = result.past.times.max()
    for case in result.cases:
        own = interactions.users == case.user
        later = own & (interactions.times > newest)
        assert set(case.targets) <= set(interactions.items[later].tolist())
        assert set(case.history) <= set(interactions.items[own & (interactions.times <= newest)].tolist())
        assert not set(case.targets) & set(case.history)


@given(ROWS)
def test_last_takes_the_last_of_each(rows: list[tuple[int, int, int]]) -> None:
    interactions = table(rows)
    try:
        result = split(interactions, holdout="last")
    except DataError:  # everybody only repeats one item
        return
    for case in result.cases:
        events = events_by_user(interactions)[case.user]
        assert events.times is not None
        latest = events.times == events.times[-1]
        if latest.all():  # one basket alone
            latest[:-1] = False
        assert case.history.tolist() == events.items[~latest].tolist()
        assert set(case.targets) == set(events.items[latest]) - set(case.history)
        assert (result.past.users == case.user).sum() == (~latest).sum()


def test_a_last_basket_is_asked_for_as_a_whole() -> None:
    """Four things bought at once, one of them bought before: none of them tells of the others."""
    rows = [(0, 1, 0), (0, 2, 0), (0, 2, 7), (0, 3, 7), (0, 4, 7), (0, 5, 7), (1, 1, 0), (1, 6, 3)]
    result = split(table(rows), holdout="last")
    assert [(case.history.tolist(), case.targets.tolist()) for case in result.cases] == [
        ([2, 1], [3, 4, 5]),
        ([1], [6]),
    ]
    assert pairs(result.past) == {(0, 1), (0, 2), (1, 1)}


def test_of_a_user_with_one_basket_one_thing_is_asked_for_by_the_rest() -> None:
    """An export that gives every row the same time leaves nothing else to judge by."""
    result = split(table([(0, 1, 0), (0, 2, 0), (0, 3, 0), (1, 4, 0)]), holdout="last")
    (case,) = result.cases
    assert sorted([*case.history.tolist(), *case.targets.tolist()]) == [1, 2, 3]
    assert len(case.targets) == 1


@given(ROWS, st.integers(0, 5))
def test_unseen_users_have_no_row_in_the_past(rows: list[tuple[int, int, int]], seed: int) -> None:
    interactions = table(rows, timed=False)
    try:
        result = split(interactions, share=0.3, seed=seed)
    except DataError:
        return
    assert result.holdout == "users"
    assert not {case.user for case in result.cases} & set(result.past.users.tolist())
    assert all(case.is_new_user for case in result.cases)


def test_a_seed_repeats_and_another_differs() -> None:
    rows = [(user, item, 0) for user in range(10) for item in range(user, user + 5)]

    def drawn(result: Split) -> list[tuple[int, list[int]]]:
        return [(case.user, case.targets.tolist()) for case in result.cases]

    interactions = table(rows, timed=False)
    assert drawn(split(interactions, share=0.5, seed=1)) == drawn(split(interactions, share=0.5, seed=1))
    assert drawn(split(interactions, share=0.5, seed=1)) != drawn(split(interactions, share=0.5, seed=2))


def test_the_text_of_a_target_is_never_an_input() -> None:
    rows = [(0, 1, 1), (0, 2, 2), (0, 3, 3)]
    result = split(table(rows, texts=["one", None, "three"]), holdout="last")
    by_history, by_text = result.cases
    assert by_history.texts == by_text.texts == ("one",)
    assert by_history.targets.tolist() == by_text.targets.tolist() == [3]
    assert (by_text.task, by_text.history.tolist()) == ("text", [])


def test_what_is_written_later_is_no_stated_need_of_before() -> None:
    """Of two new users one came twice with one text, one was exported twice."""
    old = [(user, item, 1) for user in (0, 1, 2) for item in (1, 2, 3)]
    new = [(3, 4, 9), (3, 5, 9), (4, 6, 9), (4, 6, 9)]
    texts: list[str | None] = ["old"] * len(old) + ["wanted"] * 2 + ["told twice"] * 2
    result = split(table(old + new, texts=texts), holdout="clock", after=5)
    assert [(case.user, case.task, case.texts) for case in result.cases] == [(3, "history", ()), (4, "history", ())]


def test_a_row_that_stands_there_twice_states_no_need() -> None:
    result = split(table([(0, 4, 0), (0, 4, 0), (1, 1, 0), (1, 2, 0)], timed=False, texts=["said"] * 4), share=1)
    assert {case.user for case in result.cases} == {1}
    assert events_by_user(table([(0, 4, 0), (0, 4, 0)], timed=False, texts=["said"] * 2))[0].stated_need is None


def test_a_text_on_every_row_is_a_stated_need() -> None:
    """It may be used: by text alone for all items, and beside the history for the hidden one."""
    rows = [(0, item, 0) for item in range(3)] + [(1, item, 0) for item in range(3)] + [(2, 9, 0)]
    result = split(table(rows, timed=False, texts=["need"] * 3 + ["a", "b", "c", "d"]), share=1)
    with pytest.raises(StopIteration):
        next(case for case in result.cases if case.user == 1 and case.task == "text")
    by_text = next(case for case in result.cases if case.user == 0 and case.task == "text")
    assert (by_text.texts, by_text.history.tolist(), by_text.targets.tolist()) == (("need",), [], [0, 1, 2])
    by_history = next(case for case in result.cases if case.user == 1)
    assert len(by_history.history) == len(by_history.texts) == 2


def test_positions_are_no_clock() -> None:
    positions = table([(user, user + step, step) for user in range(10) for step in range(4)])
    clock = table([(user, user + step, 100 * user + step) for user in range(10) for step in range(4)])
    assert holdout_of(positions) == "last"
    assert holdout_of(clock) == "clock"
    assert holdout_of(table([(0, 0, 0)], timed=False)) == "users"


def test_where_hardly_anybody_comes_twice_a_clock_leaves_nobody_to_ask() -> None:
    baskets = [(user, item, 1_000 * user) for user in range(10) for item in range(user, user + 3)]
    result = split(table(baskets))
    assert result.holdout == "last"
    assert len(result.cases) == 10
    assert all(len(case.history) == 2 for case in result.cases)
    assert holdout_of(table([*baskets, (9, 1, 9_500)])) == "clock"  # a tenth of them came again


def test_equal_times_do_not_depend_on_the_order_of_the_table() -> None:
    rows = [(0, item, 7) for item in range(8)]
    forward = events_by_user(table(rows))[0].items.tolist()
    backward = events_by_user(table(rows[::-1]))[0].items.tolist()
    assert forward == backward
    assert forward != sorted(forward)


def test_too_little_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="2 interactions"):
        split(table([(0, 1, 1), (1, 2, 1)]), holdout="last")


def test_after_a_moment_everything_is_the_future() -> None:
    times = np.array([1.0, 2, 3, 4, 5, 6])
    known = Interactions(np.array([0, 1, 0, 1, 0, 1]), ("a", "b"), np.array([0, 1, 2, 3, 4, 5]), times)
    found = split(known, holdout="clock", after=3.0)
    assert found.past.times is not None
    assert found.past.times.tolist() == [1, 2, 3]
    assert [case.targets.tolist() for case in found.cases] == [[4], [3, 5]]
    with pytest.raises(DataError):
        split(known, holdout="clock", after=6.0)
