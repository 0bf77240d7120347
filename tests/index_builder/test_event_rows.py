"""What taken events say: which are positives, and how they stand beside the table's rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from index_builder.config import FeedbackConfig, load_config
from index_builder.event_rows import join, read_event_rows
from index_builder.feedback import take_events
from index_builder.interactions import RawInteractions, read_interactions
from index_builder.rejects import Rejects
from models.artifact_store import ArtifactStore
from models.errors import DataError
from models.event_stores import open_store
from models.events import Event
from tests.index_builder.shop import append, opened, rebuild

WEIGHTS = {"click": 1.0, "purchase": 3.0, "view": 0.0, "dislike": -1.0}


def event(event_id: str, item: str = "i", kind: str = "click", user: str = "u", **more: Any) -> Event:
    raw = {"event_id": event_id, "user_id": user, "item_id": item, "type": kind, "timestamp": 100.0}
    return Event.model_validate(raw | more)


def taken(folder: Path, *events: Event, erase: tuple[str, ...] = ()) -> FeedbackConfig:
    config = FeedbackConfig(source=str(folder / "state"), events=folder / "events", weights=WEIGHTS)
    store = open_store(config.source)
    store.append(events)
    for user in erase:
        store.erase(user)
    store.close()
    take_events(config)
    return config


def triples(raw: RawInteractions) -> list[tuple[str, str, float | None]]:
    times = [None] * len(raw.users) if raw.times is None else raw.times.tolist()
    return [(raw.user_ids[u], raw.item_ids[i], at) for u, i, at in zip(raw.users, raw.items, times, strict=True)]


def test_types_decide_what_is_a_positive_and_unknown_ones_are_counted(tmp_path: Path) -> None:
    config = taken(
        tmp_path,
        event("e1", "a", text="words"),
        event("e2", "b", "purchase", text=" "),
        event("e3", "c", "view"),
        event("e4", "d", "odd"),
        event("e5", "e", "odd"),
        event("e6", "f", "strange"),
        event("e7", "g", rating=1.0),
        event("e8", "h", rating=4.0),
    )
    rows = read_event_rows(config, min_rating=3.0)
    assert triples(rows.positives) == [("u", "a", 100.0), ("u", "b", 100.0), ("u", "h", 100.0)]
    assert rows.positives.texts == ["words", None, None]
    assert rows.counts.model_dump() == {
        "n_events": 8,
        "n_positives": 3,
        "n_not_wanted": 1,
        "n_taken_back": 0,
        "n_below_min_rating": 1,
        "unknown_types": {"odd": 2, "strange": 1},
        "n_erased_users": 0,
    }
    assert read_event_rows(config, min_rating=None).counts.n_positives == 4


def test_a_dislike_takes_back_what_came_before_it_of_this_user_with_this_item(tmp_path: Path) -> None:
    config = taken(
        tmp_path,
        event("e1", "a", "dislike", timestamp=20.0),
        event("e2", "a", timestamp=10.0),
        event("e3", "a", timestamp=30.0),
        event("e4", "a", timestamp=5.0, user="other"),
        event("e5", "b", timestamp=5.0),
    )
    rows = read_event_rows(config, min_rating=None)
    assert triples(rows.positives) == [("u", "a", 30.0), ("other", "a", 5.0), ("u", "b", 5.0)]
    assert (rows.counts.n_taken_back, rows.counts.n_not_wanted) == (1, 1)


def test_nothing_taken_yet_is_no_fault(tmp_path: Path) -> None:
    rows = read_event_rows(FeedbackConfig(source="s", events=tmp_path / "none"), min_rating=None)
    assert (triples(rows.positives), rows.counts.n_events, rows.erased) == ([], 0, frozenset())


def test_a_file_that_is_gone_ends_the_build(tmp_path: Path) -> None:
    config = taken(tmp_path, event("e1"))
    next(config.events.glob("*.parquet")).unlink()
    with pytest.raises(DataError, match=r"\.parquet can't be read"):
        read_event_rows(config, min_rating=None)


# Beside a table

TABLE = [("u", "a", 1), ("bob", "b", 2), ("v", "c", 3)]


def table(folder: Path, **columns: str) -> RawInteractions:
    from index_builder.config import InteractionsConfig

    path = folder / "table.jsonl"
    path.write_text("".join(json.dumps({"user_id": u, "item_id": i, "at": t}) + "\n" for u, i, t in TABLE))
    return read_interactions(InteractionsConfig(path=path, **columns), rejects=Rejects())


def test_events_stand_behind_the_table_without_erased_users(tmp_path: Path) -> None:
    config = taken(tmp_path, event("e1", "c", text="words"), event("e2", "z", user="new"), erase=("bob",))
    both = join(table(tmp_path, time="at"), read_event_rows(config, min_rating=None))
    assert triples(both) == [("u", "a", 1.0), ("v", "c", 3.0), ("u", "c", 100.0), ("new", "z", 100.0)]
    assert both.texts == [None, None, "words", None]
    assert both.n_rows == 5
    interactions, unknown = both.to_interactions({"a": 0, "c": 1})
    assert interactions.user_ids == ("u", "v")
    assert interactions.items.tolist() == [0, 1, 1]
    assert unknown.n_rows == 1


def test_without_times_or_texts_in_the_table_there_are_none_to_compare(tmp_path: Path) -> None:
    both = join(table(tmp_path), read_event_rows(taken(tmp_path, event("e1")), min_rating=None))
    assert both.times is None
    assert both.texts is None
    assert len(both.users) == 4


def test_an_erased_user_who_came_back_is_known_by_the_new_events_alone(tmp_path: Path) -> None:
    config = taken(tmp_path, event("e1", "a", user="bob"), erase=("bob",))
    store = open_store(config.source)
    store.append([event("e2", "c", user="bob")])
    store.close()
    take_events(config)
    both = join(table(tmp_path, time="at"), read_event_rows(config, min_rating=None))
    assert [row[:2] for row in triples(both) if row[0] == "bob"] == [("bob", "c")]


# In a build


def _feed(demo: Path, *events: Event, erase: tuple[str, ...] = ()) -> None:
    append(demo / "recall.toml", '\n[feedback]\nsource = "state"\n')
    store = open_store(str(demo / "state"))
    store.append(events)
    for user in erase:
        store.erase(user)
    store.close()
    config = load_config(demo / "recall.toml").feedback
    assert config is not None
    assert (config.source, config.events) == (str(demo / "state"), demo / "events")
    take_events(config)


def test_a_build_uses_the_events_that_were_taken(demo: Path, store: ArtifactStore) -> None:
    before = opened(demo)
    row = before.rows["astro-book"]
    events = [event(f"e{n}", "astro-book", "purchase", f"new{n}", timestamp=1_700_000_000 + n) for n in range(50)]
    _feed(demo, *events, event("x", kind="odd"), event("y", "nowhere"))
    report = rebuild(demo)
    after = opened(demo)
    assert after.popularity[row] == before.popularity[row] + 50
    assert report.events is not None
    assert (report.events.n_events, report.events.n_positives) == (52, 51)
    assert report.interactions is not None
    assert report.interactions.n_unknown_items >= 1
    assert any("1 events are of types without a weight: odd (1)" in warning for warning in report.warnings)
    assert "51 of 52 taken events are positives" in report.lines()


def test_an_erased_user_is_in_no_row_of_the_next_build(demo: Path) -> None:
    rows = [json.loads(line) for line in (demo / "interactions.jsonl").read_text().splitlines()]
    user = rows[0]["user_id"]
    items = {row["item_id"] for row in rows if row["user_id"] == user}
    before = opened(demo)
    _feed(demo, erase=(user,))
    rebuild(demo)
    after = opened(demo)
    for item in items:
        assert after.popularity[after.rows[item]] == before.popularity[before.rows[item]] - 1


def test_events_are_enough_without_a_table(demo: Path) -> None:
    toml = (demo / "recall.toml").read_text()
    (demo / "recall.toml").write_text(toml[: toml.index("[interactions]")])
    _feed(demo, event("e1", "hike-map", timestamp=1_700_000_000))
    report = rebuild(demo)
    assert report.interactions is not None
    assert (report.interactions.n_used, report.interactions.n_users) == (1, 1)
    assert opened(demo).popularity.sum() == 1


def test_events_that_name_no_item_leave_a_build_without_a_table_zero_shot(demo: Path) -> None:
    toml = (demo / "recall.toml").read_text()
    (demo / "recall.toml").write_text(toml[: toml.index("[interactions]")])
    _feed(demo, event("e1", "nowhere", timestamp=1_700_000_000))
    report = rebuild(demo)
    assert report.interactions is None
    assert "none of the 1 taken positives names an item of the catalogue" in report.warnings
