"""What every event store keeps of a user: in a SQLite file and in a real Redis."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from models.event_stores import open_store
from models.events import START, Limits, Signal, Signals
from tests.contracts.event_stores import NOBODY, event


def test_a_profile_has_the_newest_time_of_each_type_with_each_item_oldest_first(store):
    store.append(
        [
            event("e1", item="b", timestamp=30.5),
            event("e2", item="a", timestamp=20.0),
            event("e3", item="b", timestamp=10.0),  # came late, changes nothing
            event("e4", item="a", kind="like", timestamp=40.0),
            event("e5", user="other", item="z"),
        ]
    )
    assert store.signals("u").items == [
        Signal("click", "a", 20.0),
        Signal("click", "b", 30.5),
        Signal("like", "a", 40.0),
    ]


def test_texts_are_kept_once_each_without_blanks(store):
    texts = [("first", 10.0), ("Second 豆", 20.0), (" ", 30.0), ("", 31.0), (None, 32.0), ("first", 40.0)]
    store.append([event(f"e{n}", text=text, timestamp=at) for n, (text, at) in enumerate(texts)])
    assert store.signals("u").texts == [Signal("click", "Second 豆", 20.0), Signal("click", "first", 40.0)]


def test_the_oldest_go_beyond_the_caps(opened):
    store = opened(items=3, texts=2)
    store.append([event(f"e{n}", item=f"i{n}", text=f"t{n}", timestamp=n) for n in (5, 1, 4)])
    store.append([event(f"e{n}", item=f"i{n}", text=f"t{n}", timestamp=n) for n in (2, 3)])
    assert [signal.value for signal in store.signals("u").items] == ["i3", "i4", "i5"]
    assert [signal.value for signal in store.signals("u").texts] == ["t4", "t5"]
    assert len(store.read(START, 100)) == 5


def test_types_that_say_nothing_stay_out_of_profiles(opened):
    store = opened(types=frozenset({"click"}))
    store.append([event("e1", kind="impression", text="x"), event("e2", kind="click")])
    assert store.signals("u") == Signals([Signal("click", "i", 100.0)], [])
    store.append([event("e3", user="v", kind="impression")])
    assert store.signals("v") == NOBODY
    assert len(store.read(START, 100)) == 3


def test_a_profile_is_forgotten_unless_the_user_comes_back(opened):
    store = opened(profile_seconds=1)
    store.append([event("e1", "gone"), event("e2", "back", item="old")])
    assert store.signals("gone").items
    time.sleep(0.6)
    store.append([event("e3", "back", item="new")])
    time.sleep(0.6)
    assert store.signals("gone") == NOBODY
    assert {signal.value for signal in store.signals("back").items} == {"old", "new"}
    time.sleep(0.6)
    store.append([event("e4", "back", item="newest")])
    assert [signal.value for signal in store.signals("back").items] == ["newest"]


_EVENTS = st.lists(
    st.tuples(st.sampled_from(["click", "like"]), st.sampled_from("abcd"), st.sampled_from(["", "x", "y", "z"])),
    max_size=20,
)


@settings(max_examples=30)
@given(events=_EVENTS, order=st.randoms(use_true_random=False), parts=st.integers(1, 5))
def test_whatever_comes_in_whatever_order_the_newest_of_each_are_kept(fresh, events, order, parts):
    """Every event has a time of its own; late ones, parts and caps change nothing about what is the newest."""
    numbered = list(enumerate(events))
    order.shuffle(numbered)
    store = open_store(fresh(), Limits(items=3, texts=2))
    sent = [event(f"e{n}", item=item, kind=kind, text=text, timestamp=n) for n, (kind, item, text) in numbered]
    items: dict[tuple[str, str], float] = {}
    texts: dict[tuple[str, str], float] = {}
    for start in range(0, len(sent), parts):
        store.append(sent[start : start + parts])
        for one in sent[start : start + parts]:
            items[one.type, one.item_id] = max(one.timestamp, items.get((one.type, one.item_id), 0.0))
            if one.text:
                texts[one.type, one.text] = max(one.timestamp, texts.get((one.type, one.text), 0.0))
            items, texts = _newest(items, 3), _newest(texts, 2)
    found = store.signals("u")
    assert found == Signals(_as_signals(items), _as_signals(texts))
    store.close()


def _newest(times: dict[tuple[str, str], float], n: int) -> dict[tuple[str, str], float]:
    return dict(sorted(times.items(), key=lambda one: one[1])[-n:])


def _as_signals(times: dict[tuple[str, str], float]) -> list[Signal]:
    return [Signal(kind, value, at) for (kind, value), at in sorted(times.items(), key=lambda one: one[1])]
