"""What is special about each event store: files that can't be used, servers that say something else."""

import socket
import sqlite3
import threading
from collections.abc import Iterator

import pytest
import redis

from models.errors import ConfigError, StoreUnavailableError
from models.event_stores import is_redis, open_store
from models.event_stores.redis_store import RedisStore
from models.event_stores.sqlite_store import FILE, SqliteStore
from models.events import START, Event, EventStore, Limits, Record
from tests.redis_server import RedisServer

EVENT = Event.model_validate({"event_id": "e", "user_id": "secret-user", "item_id": "i", "type": "t", "timestamp": 1.0})


def fails_everywhere(store: EventStore) -> list[str]:
    """Checks that every call fails by the one error, and returns what it says."""
    said = []
    for call in (
        store.log_id,
        lambda: store.append([EVENT]),
        lambda: store.read(START, 1),
        lambda: store.trim("1-1" if isinstance(store, RedisStore) else "1"),
        lambda: store.signals("secret-user"),
        lambda: store.erase("secret-user"),
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            call()
        said.append(str(caught.value))
    store.close()
    assert "secret-user" not in str(said)
    return said


@pytest.mark.parametrize(
    ("source", "redis"),
    [("redis://h", True), ("rediss://h", True), ("unix:///s", True), ("state", False), ("/redis://h", False)],
)
def test_a_source_is_a_redis_or_a_folder(source, redis):
    assert is_redis(source) is redis
    assert isinstance(open_store(source), RedisStore if redis else SqliteStore)


# SQLite


def test_no_file_is_made_before_the_first_event(tmp_path):
    store = SqliteStore(tmp_path / "state", Limits())
    store.read(START, 1)
    store.signals("u")
    store.trim(START)
    assert store.log_id() is None
    assert store.append([]) == []
    assert not (tmp_path / "state").exists()
    store.append([EVENT])
    assert (tmp_path / "state" / FILE).exists()
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    assert all(str(tmp_path / FILE) in said for said in fails_everywhere(SqliteStore(tmp_path, Limits())))


def test_a_file_of_another_version_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    before = (tmp_path / FILE).read_bytes()
    assert all("format 2, this version reads 1" in one for one in fails_everywhere(SqliteStore(tmp_path, Limits())))
    with sqlite3.connect(tmp_path / FILE) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    db.close()
    assert len((tmp_path / FILE).read_bytes()) == len(before)


def test_a_failed_append_leaves_nothing(tmp_path):
    store = SqliteStore(tmp_path, Limits())
    store.append([EVENT])
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("CREATE TRIGGER full BEFORE INSERT ON signal BEGIN SELECT RAISE(ABORT, 'full'); END")
    db.commit()
    more = [EVENT.model_copy(update={"event_id": f"more{n}"}) for n in range(3)]
    with pytest.raises(StoreUnavailableError, match="full"):
        store.append(more)
    assert len(store.read(START, 10)) == 1
    db.execute("DROP TRIGGER full")
    db.commit()
    db.close()
    assert store.append(more) == [True] * 3
    store.close()


def test_every_commit_reaches_the_disk(tmp_path):
    store = SqliteStore(tmp_path, Limits())
    store.append([EVENT])
    with store._writer.use() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA secure_delete").fetchone() == (1,)
    store.close()


def test_offsets_grow_though_the_clock_goes_back(tmp_path):
    now = [1_000.0]
    store = SqliteStore(tmp_path, Limits(), clock=lambda: now[0])
    for number, now[0] in enumerate((1_000.0, 500.0, 1_500.0)):
        store.append([EVENT.model_copy(update={"event_id": f"e{number}"})])
    offsets = [int(record.offset) for record in store.read(START, 10)]
    assert offsets == [1_000_000_000, 1_000_000_001, 1_500_000_000]
    store.close()


def test_old_ids_and_forgotten_profiles_are_swept_away(tmp_path):
    now = [1_000.0]
    store = SqliteStore(tmp_path, Limits(dedupe_seconds=10, profile_seconds=10), clock=lambda: now[0])
    store.append([EVENT])
    now[0] += 11
    store.append([EVENT.model_copy(update={"event_id": "new", "user_id": "other"})])
    db = sqlite3.connect(tmp_path / FILE)
    for table, left in (("known_event", 1), ("profile", 1), ("signal", 1), ("log", 2)):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (left,), table
    db.close()
    store.close()


# Redis


@pytest.mark.parametrize("url", ["redis://:hunter2@h:port", "redis://:hunter2@[::1"])
def test_a_url_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.redis
def test_a_redis_that_is_down_full_or_no_redis_fails_by_one_error(tmp_path):
    with RedisServer(tmp_path) as server:
        store = open_store(server.url)
        store.append([EVENT])
        server.fill()
        with pytest.raises(StoreUnavailableError, match="OOM"):
            store.append([EVENT.model_copy(update={"event_id": "more"})])
        with pytest.raises(StoreUnavailableError) as caught:
            store.erase("secret-user")
        assert "secret-user" not in str(caught.value)
        assert store.signals("secret-user").items
        assert len(store.read(START, 10)) == 1
        server.unfill()
        server.command("SET", "recall:user:items:odd", "a string")
        with pytest.raises(StoreUnavailableError):
            store.signals("odd")
    fails_everywhere(store)


@pytest.fixture
def babbler() -> Iterator[int]:
    """The port of a server that answers everything with something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        done = threading.Event()

        def babble() -> None:
            while not done.is_set():
                connection, _ = server.accept()
                with connection:
                    if connection.recv(1000):
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        yield server.getsockname()[1]
        done.set()
        socket.create_connection(server.getsockname()).close()
        thread.join()


def test_what_is_no_redis_fails_by_the_same_error(babbler):
    fails_everywhere(open_store(f"redis://127.0.0.1:{babbler}"))


@pytest.mark.redis
def test_what_a_user_does_while_being_erased_stays(tmp_path):
    new = EVENT.model_copy(update={"event_id": "new"})

    class Racing(RedisStore):
        def read(self, after: str, limit: int) -> list[Record]:
            self.append([new])
            return super().read(after, limit)

    with RedisServer(tmp_path) as server:
        store = Racing(server.url, Limits())
        store.append([EVENT])
        assert store.erase("secret-user") == 1
        assert store.read(START, 10)[-1].content == new
        assert store.signals("secret-user").items
        store.close()


@pytest.mark.redis
def test_only_profiles_have_a_time_limit_so_that_nothing_else_is_evicted(tmp_path):
    with RedisServer(tmp_path) as server:
        store = open_store(server.url, Limits(profile_seconds=1000))
        store.append([EVENT.model_copy(update={"text": "words"})])
        keys = server.command("KEYS", "*")
        lives = {key.decode(): server.command("TTL", key) for key in keys}
        store.close()
    assert lives.keys() == {
        "recall:events",
        "recall:events:known",
        "recall:events:id",
        "recall:user:items:secret-user",
        "recall:user:texts:secret-user",
    }
    assert {key for key, seconds in lives.items() if seconds > 0} == {key for key in lives if ":user:" in key}


@pytest.mark.redis
def test_a_full_redis_evicts_vectors_and_never_events(tmp_path):
    """With the documented policy: the cache is written over the limit, the log stays whole."""
    with RedisServer(tmp_path) as server:
        store = open_store(server.url)
        events = [EVENT.model_copy(update={"event_id": f"e{n}"}) for n in range(200)]
        store.append(events)
        server.command("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        server.command("CONFIG", "SET", "maxmemory", "3mb")
        with redis.Redis(port=server.port) as client:
            pipeline = client.pipeline(transaction=False)
            for number in range(3_000):
                pipeline.set(f"recall:v1:{number}", "x" * 1000, ex=7 * 86_400)
            pipeline.execute()
        assert int(server.command("INFO", "stats")["evicted_keys"]) > 0
        assert [record.content for record in store.read(START, 1000)] == events
        assert not any(store.append(events))
        assert store.signals("secret-user").items
        store.close()
