"""Every store of live items keeps its promises."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigError, StoreUnavailableError
from models.live_items import Change, KnownVector, LiveStore, next_seq
from models.live_stores import open_live_store, redis_store, sqlite_store
from tests.redis_server import RedisServer

KNOWN = KnownVector("space", b"0123456789abcdef", np.array([0.6, 0.8], np.float32))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "state")
    server: RedisServer = request.getfixturevalue("server")
    server.command("FLUSHALL")
    return server.url


@pytest.fixture
def store(source: str) -> Iterator[LiveStore]:
    store = open_live_store(source)
    yield store
    store.close()


def contents(store: LiveStore, after: int = 0) -> list[tuple[str, object]]:
    return [(record.id, None if record.is_deleted else record.over({})) for record in store.read(after, 1_000)]


def test_an_empty_store_holds_nothing(store: LiveStore) -> None:
    assert store.read(0, 10) == []
    assert store.get(["a"]) == [None]


def test_what_is_put_is_read_in_order_by_whoever_comes_later(store: LiveStore, source: str) -> None:
    first = store.put([Change("b", {"x": 1}, KNOWN), Change("a", {"x": None})])
    second = store.put([Change("c", None)])
    assert second > first
    other = open_live_store(source)
    assert contents(other) == [("b", {"x": 1}), ("a", {"x": None}), ("c", None)]
    assert contents(other, first) == [("c", None)]
    assert contents(other, second) == []
    assert [record.id for record in other.read(0, 2)] == ["b", "a"]
    (record, nothing) = other.get(["b", "nobody"])
    assert nothing is None
    assert record is not None
    assert record.known is not None
    np.testing.assert_array_equal(record.known.embedding, KNOWN.embedding)
    other.close()


def test_an_item_has_one_record_the_newest_joined_with_what_was_there(store: LiveStore) -> None:
    before = store.put([Change("a", {"x": 1, "y": 1}), Change("b", {"x": 1})])
    store.put([Change("a", {"y": 2}), Change("a", {"z": 3})])
    assert contents(store) == [("b", {"x": 1}), ("a", {"x": 1, "y": 2, "z": 3})]
    assert contents(store, before) == [("a", {"x": 1, "y": 2, "z": 3})]


def test_what_is_trimmed_is_gone_and_numbers_go_on(store: LiveStore) -> None:
    store.trim(5)
    cut = store.put([Change("a", {"x": 1}), Change("b", None)])
    later = store.put([Change("a", {"y": 1}), Change("c", {"x": 1})])
    store.trim(cut)
    assert contents(store) == [("a", {"x": 1, "y": 1}), ("c", {"x": 1})]
    assert store.get(["b"]) == [None]
    store.trim(later)
    assert contents(store) == []
    assert store.put([Change("d", None)]) > later


def test_a_clock_that_was_put_back_gives_no_number_twice(store: LiveStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing is left whose number could be looked at: an artifact's cut is one of them."""
    cut = store.put([Change("a", {"x": 1})])
    store.trim(cut)
    for module in (redis_store, sqlite_store):
        monkeypatch.setattr(module, "next_seq", lambda highest, _: next_seq(highest, 0))
    again = store.put([Change("b", {"x": 1})])
    store.trim(again)
    assert cut < again < store.put([Change("c", {"x": 1})])


def test_many_writers_lose_no_change_and_share_no_number(store: LiveStore, source: str) -> None:
    def write(worker: int) -> None:
        own = open_live_store(source)
        for step in range(10):
            own.put([Change("shared", {f"{worker}-{step}": 1}), Change(f"{worker}", {"step": step})])
        own.close()

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = store.read(0, 1_000)
    assert len({record.seq for record in records}) == len(records) == 5
    (shared,) = store.get(["shared"])
    assert shared is not None
    assert len(shared.fields or ()) == 40


def test_ids_and_values_of_all_kinds_come_back(store: LiveStore) -> None:
    ids = ["山", "a b\n'\"", "🥾", "0", "x" * 512]
    store.put([Change(item_id, {"v": [1, "ü", None, True, 1.5]}) for item_id in ids])
    assert contents(store) == [(item_id, {"v": [1, "ü", None, True, 1.5]}) for item_id in ids]


def test_a_store_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    for source in (str(tmp_path / "state"), RedisServer(tmp_path).url):
        store = open_live_store(source)
        with pytest.raises(StoreUnavailableError):
            store.put([Change("a", None)])
        store.close()


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="can't be used"):
        open_live_store("redis://h:port")
