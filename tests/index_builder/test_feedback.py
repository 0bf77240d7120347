"""Events move from the log into daily files: each once, whenever the mover dies."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from index_builder import feedback
from index_builder.config import FeedbackConfig
from index_builder.feedback import MANIFEST, read_taken, take_events
from models.errors import BuildLockedError, DataError, StoreUnavailableError
from models.event_stores import open_store
from models.event_stores.sqlite_store import SqliteStore
from models.events import START, EventStore, Limits, user_hash
from tests.index_builder.events import event, ids_of, rows_of
from tests.killed_taker import Watched, config_of
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
DAY = 86_400.0


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        yield config_of(tmp_path)
        return
    with RedisServer(tmp_path) as server:
        yield FeedbackConfig(source=server.url, events=tmp_path / "events")


@pytest.fixture
def store(config: FeedbackConfig) -> Any:
    store = open_store(config.source)
    yield store
    store.close()


def test_what_came_is_in_the_files_and_no_longer_in_the_log(config: FeedbackConfig, store: EventStore) -> None:
    whole = event("e1", "ü 山", text="'\x00 豆", rating=4.5, request_id="r", timestamp=1_700_000_000.25)
    store.append([whole, event("e2")])
    report = take_events(config)
    assert (report.n_events, report.n_erased_users, report.n_erased_rows) == (2, 0, 0)
    first, second = rows_of(config)
    received = first.pop("received")
    assert first == whole.model_dump()
    assert abs(second["received"] - received) < 60
    assert store.read(START, 10) == []
    assert take_events(config).n_events == 0
    assert ids_of(config) == ["e1", "e2"]


def test_a_log_that_has_nothing_yet_is_no_fault(config: FeedbackConfig) -> None:
    assert take_events(config).n_events == 0
    assert rows_of(config) == []


def test_later_events_join_those_of_their_day(config: FeedbackConfig, store: EventStore) -> None:
    store.append([event("e1")])
    take_events(config)
    store.append([event("e2")])
    take_events(config)
    assert sorted(ids_of(config)) == ["e1", "e2"]
    assert len(read_taken(config.events).files) <= 2  # one, unless midnight passed
    assert {path.name for path in config.events.glob("*.parquet")} == set(read_taken(config.events).files)


def test_an_erased_user_leaves_the_files_and_may_come_back(config: FeedbackConfig, store: EventStore) -> None:
    store.append([event("first-of-bob", "bob"), event("e2", "eve")])
    take_events(config)
    store.append([event("e3", "bob"), event("e4", "eve")])
    store.erase("bob")
    store.append([event("e5", "bob")])
    report = take_events(config)
    assert (report.n_events, report.n_erased_users, report.n_erased_rows) == (2, 1, 1)
    assert sorted(ids_of(config)) == ["e2", "e4", "e5"]
    assert read_taken(config.events).erased == (user_hash("bob"),)
    for path in config.events.glob("*"):
        assert b"of-bob" not in path.read_bytes()


def test_an_erasure_that_died_half_way_still_counts(config: FeedbackConfig, store: EventStore) -> None:
    """Redis keeps an erased user's events behind the mark until they are found."""
    store.erase("bob")
    mark = store.read(START, 10)
    store.trim(mark[-1].offset)

    class Half(Watched):
        def read(self, after: str, limit: int) -> list[Any]:
            records = super().read(after, limit)
            return [*records[:1], *mark, *records[1:]] if records else []

    store.append([event("e1", "bob"), event("e2", "bob")])
    take_events(config, store=Half(store, lambda: None))
    assert ids_of(config) == ["e2"]


def test_a_lost_log_is_read_from_its_new_beginning(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    for event_id in ("e1", "e2"):
        store = open_store(config.source)
        store.append([event(event_id)])
        store.close()
        take_events(config)
        shutil.rmtree(config.source)
    assert sorted(ids_of(config)) == ["e1", "e2"]
    assert len(read_taken(config.events).offsets) == 2


def test_a_log_from_a_backup_gives_what_came_after_it(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    store = open_store(config.source)
    store.append([event("e1")])
    store.close()
    shutil.copytree(config.source, tmp_path / "backup")
    for event_id in ("e2", "e3"):
        store = open_store(config.source)
        store.append([event(event_id)])
        store.close()
        take_events(config)
        shutil.rmtree(config.source)
        shutil.copytree(tmp_path / "backup", config.source)
    assert sorted(ids_of(config)) == ["e1", "e2", "e3"]


def test_days_are_those_on_which_events_came(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    now = [1_700_000_000.0]
    store = SqliteStore(Path(config.source), Limits(), clock=lambda: now[0])
    for number in range(3):
        store.append([event(f"e{number}")])
        now[0] += DAY
    store.close()
    take_events(config)
    assert list(read_taken(config.events).files.values()) == [1, 1, 1]
    assert [name[:10] for name in read_taken(config.events).files] == ["2023-11-14", "2023-11-15", "2023-11-16"]


def test_many_events_are_moved_a_part_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "_CHUNK", 7)
    monkeypatch.setattr(feedback, "_PAGE", 3)
    config = config_of(tmp_path)
    store = open_store(config.source)
    store.append([event(f"e{n}") for n in range(50)])
    store.close()
    assert take_events(config).n_events == 50
    assert sorted(ids_of(config)) == sorted(f"e{n}" for n in range(50))
    assert read_taken(config.events).number == 6


# Faults


def test_two_runs_exclude_each_other(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    config.events.mkdir()
    with FileLock(config.events / ".lock"), pytest.raises(BuildLockedError, match="another run"):
        take_events(config)


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 2}', b'{"offsets": {"a": 1}}'])
def test_a_damaged_manifest_ends_the_run_and_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    config = config_of(tmp_path)
    config.events.mkdir()
    (config.events / MANIFEST).write_bytes(content)
    with pytest.raises(DataError, match="backup"):
        take_events(config)
    assert (config.events / MANIFEST).read_bytes() == content


def test_a_damaged_file_ends_the_run_and_the_log_stays(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    store = open_store(config.source)
    store.append([event("e1")])
    take_events(config)
    (name,) = read_taken(config.events).files
    (config.events / name).write_bytes(b"no parquet")
    store.append([event("e2")])
    with pytest.raises(DataError, match=name):
        take_events(config)
    assert len(store.read(START, 10)) == 1
    store.close()


def test_a_log_that_is_away_changes_nothing(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        config = FeedbackConfig(source=server.url, events=tmp_path / "events")
    with pytest.raises(StoreUnavailableError):
        take_events(config)
    assert rows_of(config) == []


def test_the_manifest_is_as_documented(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    store = open_store(config.source)
    store.append([event("e1")])
    store.erase("gone")
    store.close()
    take_events(config)
    manifest = json.loads((config.events / MANIFEST).read_text())
    assert manifest.keys() == {"version", "offsets", "files", "erased", "number"}
