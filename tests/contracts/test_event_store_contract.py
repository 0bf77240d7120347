"""What every event store does alike: in a SQLite file and in a real Redis."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.event_stores import open_store
from models.events import START, Erasure, Event, EventStore, user_hash
from tests.contracts.event_stores import NOBODY, event


def events_of(store: EventStore) -> list[Event]:
    return [record.content for record in store.read(START, 10_000) if isinstance(record.content, Event)]


def ids_of(store: EventStore) -> list[str]:
    return [one.event_id for one in events_of(store)]


# The log


def test_an_empty_store_has_nothing(store):
    assert store.read(START, 10) == []
    assert store.signals("u") == NOBODY
    assert store.append([]) == []
    store.trim(START)
    assert store.log_id() is None


def test_what_was_appended_is_read_whole_in_its_order_by_everybody(opened):
    events = [
        event("e1", "ü 山\x00'; DROP TABLE log; --", "\r\n$-1\r\n", "review", text='"x" 豆 \x00', rating=-1.5),
        event("e0", request_id="r", timestamp=1_700_000_000.123456),
        event("e2"),
    ]
    assert opened().append(events) == [True] * 3
    assert events_of(opened()) == events
    received = [record.received for record in opened().read(START, 10)]
    assert all(abs(one - time.time()) < 60 for one in received)


def test_reading_goes_on_where_it_stopped(store):
    store.append([event(f"e{n}") for n in range(7)])
    store.append([event("e7")])
    after, read = START, []
    while records := store.read(after, 3):
        assert len(records) <= 3
        read += [record.content.event_id for record in records]
        after = records[-1].offset
    assert read == [f"e{n}" for n in range(8)]


def test_offsets_grow_over_trims_so_that_none_is_used_twice(opened):
    store = opened()
    store.append([event("e1"), event("e2"), event("e3")])
    records = store.read(START, 10)
    store.trim(records[1].offset)
    assert ids_of(store) == ["e3"]
    store.trim(records[1].offset)  # again changes nothing
    store.trim(START)
    assert ids_of(store) == ["e3"]
    store.trim(records[2].offset)
    opened().append([event("e4")])
    assert [record.content.event_id for record in store.read(records[2].offset, 10)] == ["e4"]


@pytest.mark.parametrize("begin", [lambda store: store.append([event("e1")]), lambda store: store.erase("u")])
def test_a_log_keeps_the_identity_that_it_gets_with_its_first_record(opened, fresh, begin):
    begin(opened())
    first = opened().log_id()
    assert first
    opened().append([event("e2")])
    opened().erase("u")
    assert opened().log_id() == first
    another = open_store(fresh())
    another.append([event("e1")])
    assert another.log_id() not in (None, first)
    another.close()


# Once


def test_an_event_id_counts_once_within_a_call_over_calls_and_after_a_trim(opened):
    store = opened()
    assert store.append([event("e1", item="a"), event("e1", item="b"), event("e2")]) == [True, False, True]
    assert opened().append([event("e1", item="c"), event("e3")]) == [False, True]
    store.trim(store.read(START, 10)[-1].offset)
    assert store.append([event("e1"), event("e3")]) == [False, False]
    assert ids_of(store) == []
    assert {signal.value for signal in store.signals("u").items} == {"a", "i"}


def test_an_event_id_is_forgotten_after_its_horizon(opened):
    store = opened(dedupe_seconds=0)
    store.append([event("e1")])
    time.sleep(0.01)
    store.append([event("e2")])
    assert store.append([event("e1")]) == [True]


def test_many_at_once_lose_and_double_nothing(opened):
    """Each event is sent by two of eight writers, through stores of their own."""

    def write(number: int) -> None:
        store = opened()
        for part in range(0, 60, 3):
            store.append([event(f"e{number // 2}-{n}", f"u{n % 5}") for n in range(part, part + 3)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = ids_of(opened())
    assert sorted(found) == sorted(f"e{writer}-{n}" for writer in range(4) for n in range(60))


# Erasing


def test_erasing_drops_profile_and_events_and_leaves_a_mark_without_a_name(opened):
    store = opened()
    store.append([event("e1", "bob", text="hello"), event("e2", "eve"), event("e3", "bob")])
    assert opened().erase("bob") == 2
    assert store.signals("bob") == NOBODY
    contents = [record.content for record in store.read(START, 10)]
    assert contents == [event("e2", "eve"), Erasure(user_hash("bob"))]
    assert store.signals("eve").items


def test_who_comes_back_after_an_erasure_is_a_new_user(store):
    store.append([event("e1", item="old")])
    store.erase("u")
    assert store.append([event("e1", item="old")]) == [False]  # sent again, it doesn't come back
    assert store.append([event("e2", item="new")]) == [True]
    assert [signal.value for signal in store.signals("u").items] == ["new"]
    kinds = [type(record.content) for record in store.read(START, 10)]
    assert kinds == [Erasure, Event]


def test_an_unknown_user_can_be_erased_and_a_mark_can_be_trimmed(store):
    assert store.erase("nobody") == 0
    (record,) = store.read(START, 10)
    assert record.content == Erasure(user_hash("nobody"))
    store.trim(record.offset)
    assert store.read(START, 10) == []


# A model


_USERS = st.sampled_from(["a", "b"])
_STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(st.integers(0, 12), _USERS), max_size=5)),
    st.tuples(st.just("erase"), _USERS),
    st.tuples(st.just("trim"), st.integers(0, 3)),
)


@settings(max_examples=30)
@given(steps=st.lists(_STEPS, max_size=12))
def test_any_series_of_calls_leaves_what_a_list_would_hold(fresh, steps):
    store = open_store(fresh())
    log: list[tuple[str, str] | str] = []
    known: set[str] = set()
    for step, what in steps:
        if step == "append":
            store.append([event(f"e{number}", user) for number, user in what])
            for number, user in what:
                if f"e{number}" not in known:
                    known.add(f"e{number}")
                    log.append((f"e{number}", user))
        elif step == "erase":
            store.erase(what)
            log = [*(entry for entry in log if isinstance(entry, str) or entry[1] != what), user_hash(what)]
        elif records := store.read(START, 100)[: what + 1]:
            store.trim(records[-1].offset)
            del log[: len(records)]
    held = [record.content for record in store.read(START, 100)]
    assert [one.user_hash if isinstance(one, Erasure) else (one.event_id, one.user_id) for one in held] == log
    store.close()
