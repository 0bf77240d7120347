"""The event record: what makes one valid, and that it survives being written down."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.events import MAX_ID_CHARS, Event, Limits, user_hash
from models.text import MAX_CHARS

GOOD = {"event_id": "e1", "user_id": "u1", "item_id": "i1", "type": "click", "timestamp": 1_700_000_000}


def event(**changes: object) -> Event:
    return Event.model_validate(GOOD | changes)


def test_what_may_be_left_out():
    bare = Event.model_validate({name: GOOD[name] for name in ("event_id", "user_id", "item_id", "type")})
    for now in (bare.timestamp, event(timestamp=None).timestamp):
        assert abs(now - time.time()) < 60
    assert (bare.text, bare.rating, bare.request_id) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000.25, 1_700_000_000.25),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T22:13:20.5", 1_700_000_000.5),
        ("2023-11-15T06:13:20+08:00", 1_700_000_000.0),
        ("2023-11-14", 1_699_920_000.0),
    ],
)
def test_times_become_unix_seconds(value, seconds):
    assert event(timestamp=value).timestamp == seconds


@pytest.mark.parametrize(
    "value",
    [-1, True, "yesterday", "", "1700000000", 1_700_000_000_000, 10**400, float("nan"), float("inf"), [1]],
)
def test_any_other_time_is_refused(value):
    with pytest.raises(ValidationError) as caught:
        event(timestamp=value)
    assert [error["loc"] for error in caught.value.errors()] == [("timestamp",)]


def test_a_clock_may_run_ahead_by_a_day_and_no_more():
    assert event(timestamp=time.time() + 80_000)
    with pytest.raises(ValidationError, match="more than a day ahead"):
        event(timestamp=time.time() + 90_000)


@pytest.mark.parametrize("name", ["event_id", "user_id", "item_id"])
def test_ids_are_strings_or_integers_of_any_script(name):
    for value, kept in [(7, "7"), ("ü 山\x00'; --", "ü 山\x00'; --"), ("x" * MAX_ID_CHARS, "x" * MAX_ID_CHARS)]:
        assert getattr(event(**{name: value}), name) == kept
    for wrong in ("", " \t", "x" * (MAX_ID_CHARS + 1), True, 1.5, None, ["a"], "\ud800"):
        with pytest.raises(ValidationError):
            event(**{name: wrong})


@pytest.mark.parametrize("wrong", [{"type": ""}, {"type": "x" * 65}, {"rating": "5"}, {"rating": float("nan")},
                                   {"text": 5}, {"request_id": "x" * 513}, {"value": 1}])  # fmt: skip
def test_what_else_is_refused(wrong):
    with pytest.raises(ValidationError) as caught:
        event(**wrong)
    assert [error["loc"] for error in caught.value.errors()] == [tuple(wrong)]


def test_a_text_is_cut_where_nothing_reads_on_and_holds_no_half_characters():
    assert len(event(text="a" * (MAX_CHARS + 1)).text) == MAX_CHARS
    assert event(text="a\ud800").text == "a?"


@pytest.mark.parametrize(("text", "says"), [(None, False), ("", False), (" \n", False), ("山", True)])
def test_blanks_say_nothing(text, says):
    assert event(text=text).says_something is says


_WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)


@given(
    st.fixed_dictionaries(
        {"event_id": _WORDS, "user_id": _WORDS, "item_id": _WORDS, "type": _WORDS, "timestamp": st.floats(0, 1.7e9)},
        optional={"text": st.text(max_size=30), "rating": st.floats(-1e300, 1e300), "request_id": st.text(max_size=9)},
    )
)
def test_what_is_written_down_comes_back(raw):
    whole = Event.model_validate(raw)
    assert Event.model_validate_json(whole.model_dump_json()) == whole


def test_only_types_that_say_something_go_into_profiles():
    events = [event(type="click"), event(type="impression")]
    assert Limits(types=frozenset({"click"})).profiled(events) == events[:1]
    assert Limits().profiled(events) == events


def test_a_hash_of_a_user_names_nobody_and_tells_users_apart():
    assert user_hash("u1") != user_hash("u2")
    assert len(user_hash("山" * 500)) == 32
