"""Keys, bytes, and a Redis that is down, killed, hung, full, lying, or no Redis at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.breaker import Breaker
from app.cache import CachedText, CacheUnavailableError, MemoryCache, RedisCache, cache_key
from models.errors import ConfigError
from tests.redis_server import RedisServer

T = TypeVar("T")

DIM = 4
LONG = 20.0  # seconds that an answer which comes may take on a busy machine
SHORT = 0.05  # seconds given to an answer that doesn't come

any_text = st.text(st.characters())  # lone surrogates included


def entry(*values: float, truncated: bool = False) -> CachedText:
    vector = np.array(values or (1, 0, 0, 0), dtype=np.float64)
    return CachedText((vector / np.linalg.norm(vector)).astype(np.float16), truncated)


def redis_cache(url: str, **options) -> RedisCache:
    return RedisCache(url, dim=DIM, ttl_seconds=60, **{"timeout_seconds": LONG, **options})


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def cache(server) -> AsyncIterator[RedisCache]:
    async with aclosing(redis_cache(server.url)) as cache:
        yield cache


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Calls until there is an answer; pytest's time-out is the limit."""
    while True:
        with contextlib.suppress(CacheUnavailableError):
            return await call()
        await asyncio.sleep(0.005)


# Keys


@given(any_text, any_text, any_text, any_text)
def test_keys_are_equal_only_for_equal_namespace_and_text(space, text, other_space, other_text):
    same = (space, text) == (other_space, other_text)
    assert (cache_key(space, text) == cache_key(other_space, other_text)) is same


@given(any_text, st.integers(0, 20))
def test_a_key_knows_where_the_namespace_ends(joined, cut):
    keys = {cache_key(joined[:at], joined[at:]) for at in range(len(joined) + 1)}
    assert len(keys) == len(joined) + 1
    assert all(len(key) >= 16 for key in keys)


# Bytes


@given(st.lists(st.floats(-1, 1), min_size=DIM, max_size=DIM).filter(lambda v: np.linalg.norm(v) > 0.1), st.booleans())
def test_bytes_bring_back_what_was_kept(values, truncated):
    kept = entry(*values, truncated=truncated)
    back = CachedText.from_bytes(kept.to_bytes(), DIM)
    assert back is not None
    assert back.vector.tobytes() == kept.vector.tobytes()
    assert back.truncated is truncated
    assert not back.vector.flags.writeable


def test_bytes_are_little_endian_halves_and_a_flag():
    assert entry(0, -1, 0, 0, truncated=True).to_bytes() == b"\x00\x00\x00\xbc\x00\x00\x00\x00\x01"


def garbage() -> dict[str, bytes]:
    good = entry().to_bytes()
    halves = np.array([1, 0, 0, 0], dtype="<f2")
    nan, infinite = halves.copy(), halves.copy()
    nan[1], infinite[0] = np.nan, np.inf
    return {
        "empty": b"",
        "cut": good[:-1],
        "longer": good + b"\x00",
        "other dimension": CachedText(np.array([1, 0], dtype=np.float16), False).to_bytes(),
        "words": b"not a vec",
        "NaN": nan.tobytes() + b"\x00",
        "infinite": infinite.tobytes() + b"\x00",
        "zero": bytes(2 * DIM + 1),
        "half the length": (halves / 2).tobytes() + b"\x00",
        "flag": good[:-1] + b"\x02",
    }


@pytest.mark.parametrize("kind", garbage())
def test_garbage_is_a_miss(kind):
    assert CachedText.from_bytes(garbage()[kind], DIM) is None


@given(st.binary(max_size=3 * DIM))
def test_no_bytes_raise_or_give_anything_but_a_unit_vector(data):
    got = CachedText.from_bytes(data, DIM)
    assert got is None or np.linalg.norm(got.vector.astype(np.float64)) == pytest.approx(1, abs=3e-3)


# Memory


def test_memory_drops_what_was_used_longest_ago():
    memory = MemoryCache(2)
    memory.put_many({b"a": entry(), b"b": entry()})
    memory.get_many([b"a"])
    memory.put_many({b"c": entry()})
    assert [one is not None for one in memory.get_many([b"a", b"b", b"c"])] == [True, False, True]


def test_memory_of_no_entries_keeps_nothing():
    memory = MemoryCache(0)
    memory.put_many({b"a": entry()})
    assert memory.get_many([b"a"]) == [None]


# Redis, well


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://:secret@host", "redis://:secret@host:port"])
def test_a_wrong_url_is_refused_without_showing_its_password(url):
    with pytest.raises(ConfigError, match="redis://") as caught:
        redis_cache(url)
    assert "secret" not in str(caught.value)


@pytest.mark.redis
async def test_one_round_trip_a_call_under_the_prefix_with_an_end(server, cache):
    keys = [bytes([n]) * 16 for n in range(10)]
    await cache.put_many(dict.fromkeys(keys, entry()))
    await cache.get_many(keys)
    assert server.calls("mget") == 1
    assert server.calls("get") == 0
    assert server.calls("multi") == 0
    stored = server.command("KEYS", "*")
    assert sorted(stored) == [b"recall:v1:" + key for key in keys]
    assert 0 < server.command("TTL", stored[0]) <= 60
    assert cache.available


@pytest.mark.redis
async def test_garbage_in_redis_is_a_miss_and_its_neighbours_are_hits(server, cache):
    await cache.put_many({b"good": entry()})
    for kind, value in garbage().items():
        server.command("SET", f"recall:v1:{kind}", value)
    server.command("RPUSH", "recall:v1:list", "x")
    got = await cache.get_many([b"list", *(kind.encode() for kind in garbage()), b"good"])
    assert [one is not None for one in got] == [False] * (len(garbage()) + 1) + [True]
    await cache.put_many({b"list": entry(), b"NaN": entry()})
    assert None not in await cache.get_many([b"list", b"NaN"])


# Redis, ill


@pytest.mark.redis
async def test_down_at_start_then_up(tmp_path):
    server = RedisServer(tmp_path)
    async with aclosing(redis_cache(server.url, breaker=Breaker(5, 0.01))) as cache:
        assert cache.available
        for call in (cache.get_many([b"k"]), cache.put_many({b"k": entry()})):
            with pytest.raises(CacheUnavailableError):
                await call
        assert not cache.available
        with server:
            await insist(lambda: cache.put_many({b"k": entry()}))
            assert cache.available


@pytest.mark.redis
async def test_killed_under_use_then_restarted(server):
    async with aclosing(redis_cache(server.url, breaker=Breaker(5, 0.01))) as cache:
        await asyncio.gather(*(cache.get_many([b"k"]) for _ in range(10)))
        server.stop()
        results = await asyncio.gather(*(cache.get_many([b"k"]) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(result, CacheUnavailableError) for result in results)
        assert not cache.available
        server.start()
        await insist(lambda: cache.put_many({b"k": entry()}))
        assert None not in await asyncio.gather(*(cache.get_many([b"k"]) for _ in range(10)))


@pytest.mark.redis
async def test_hung_then_resumed_gives_right_answers(server):
    keys = [bytes([n]) for n in range(5)]
    entries = {key: entry(*np.eye(DIM)[n % DIM], truncated=n == 4) for n, key in enumerate(keys)}
    async with aclosing(redis_cache(server.url, timeout_seconds=SHORT, breaker=Breaker(5, 0.01))) as cache:
        await insist(lambda: cache.put_many(entries))
        server.pause()
        for _ in range(3):
            results = await asyncio.gather(*(cache.get_many([key]) for key in keys), return_exceptions=True)
            assert all(isinstance(result, CacheUnavailableError) for result in results)
        assert not cache.available
        server.resume()
        for key in keys:
            (got,) = await insist(lambda key=key: cache.get_many([key]))
            assert got is not None
            assert got.to_bytes() == entries[key].to_bytes()
        assert cache.available


@pytest.mark.redis
@pytest.mark.parametrize("verb", ["read", "write"])
async def test_a_cancelled_call_leaves_no_unread_reply_behind(server, verb):
    async with aclosing(redis_cache(server.url)) as cache:
        first, second = entry(1, 0, 0, 0), entry(0, 1, 0, 0)
        await cache.put_many({b"first": first, b"second": second})
        server.pause()
        asked = cache.get_many([b"first"]) if verb == "read" else cache.put_many({b"first": first})
        call = asyncio.create_task(asked)
        await asyncio.sleep(SHORT)  # the question is on its way
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.resume()
        (got,) = await cache.get_many([b"second"])
        assert got is not None
        assert got.to_bytes() == second.to_bytes()
        assert cache.available


@pytest.mark.redis
async def test_a_call_that_timed_out_leaves_no_unread_reply_behind(server):
    async with aclosing(redis_cache(server.url, timeout_seconds=SHORT, breaker=Breaker(1000, 1e9))) as cache:
        first, second = entry(1, 0, 0, 0), entry(0, 1, 0, 0)
        await insist(lambda: cache.put_many({b"first": first, b"second": second}))
        server.pause()
        with pytest.raises(CacheUnavailableError, match="TimeoutError"):
            await cache.get_many([b"first"])
        server.resume()
        (got,) = await insist(lambda: cache.get_many([b"second"]))
        assert got is not None
        assert got.to_bytes() == second.to_bytes()


@pytest.mark.redis
async def test_calls_cancelled_at_any_moment_lose_no_connection(server):
    async with aclosing(redis_cache(server.url)) as cache:
        entries = {bytes([n]): entry(*np.eye(DIM)[n % DIM]) for n in range(8)}
        await cache.put_many(entries)
        for steps in range(60):
            calls = [asyncio.create_task(cache.get_many([key])) for key in entries]
            calls += [asyncio.create_task(cache.put_many(entries)) for _ in range(6)]
            for _ in range(steps % 20):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await asyncio.gather(*(cache.put_many(entries) for _ in range(6)))
            for key, (got,) in zip(entries, await asyncio.gather(*(cache.get_many([k]) for k in entries)), strict=True):
                assert got is not None
                assert got.to_bytes() == entries[key].to_bytes()


@pytest.mark.redis
async def test_those_who_ask_at_once_share_round_trips(server, cache):
    entries = {bytes([n]): entry(*np.eye(DIM)[n % DIM]) for n in range(50)}
    await cache.put_many(entries)
    answers = await asyncio.gather(*(cache.get_many([key, b"none"]) for key in entries))
    for want, (got, none) in zip(entries.values(), answers, strict=True):
        assert got is not None
        assert got.to_bytes() == want.to_bytes()
        assert none is None
    assert server.calls("mget") == 1


@pytest.mark.redis
async def test_full_refuses_writes_still_reads_and_recovers_with_the_next_write(server):
    async with aclosing(redis_cache(server.url, breaker=Breaker(2, 1e9))) as cache:
        await cache.put_many({b"old": entry()})
        server.fill()
        for _ in range(5):
            with pytest.raises(CacheUnavailableError, match="OutOfMemory"):
                await cache.put_many({b"new": entry()})
        assert not cache.available
        assert [one is not None for one in await cache.get_many([b"old", b"new"])] == [True, False]
        assert not cache.available
        server.unfill()
        await cache.put_many({b"new": entry()})
        assert cache.available


@pytest.mark.redis
async def test_a_write_that_got_no_answer_stays_in_the_health_until_one_succeeds(server):
    async with aclosing(redis_cache(server.url)) as cache:
        server.stop()
        with pytest.raises(CacheUnavailableError):
            await cache.put_many({b"k": entry()})
        server.start()
        assert await cache.get_many([b"k"]) == [None]
        assert not cache.available
        await cache.put_many({b"k": entry()})
        assert cache.available


@pytest.mark.redis
async def test_a_small_maxmemory_fills_up_by_itself(tmp_path):
    with RedisServer(tmp_path, maxmemory="2mb") as server:
        async with aclosing(redis_cache(server.url)) as cache:

            async def write_much() -> None:
                for n in range(500):
                    await cache.put_many({b"%d-%d" % (n, i): entry() for i in range(100)})

            with pytest.raises(CacheUnavailableError, match="OutOfMemory"):
                await write_much()
            assert not cache.available


@pytest.mark.redis
async def test_refused_writes_are_logged_once_and_so_is_recovery(server, cache):
    server.fill()
    with capture_logs() as logs:
        for _ in range(3):
            with contextlib.suppress(CacheUnavailableError):
                await cache.put_many({b"k": entry()})
            await cache.get_many([b"k"])
        server.unfill()
        await cache.put_many({b"k": entry()})
        await cache.get_many([b"k"])
    assert [line["event"] for line in logs] == ["cache_unavailable", "cache_available"]
    assert "OutOfMemory" in logs[0]["error"]


@pytest.mark.redis
async def test_one_failure_is_not_worth_a_log_line_but_an_opening_breaker_is(server):
    async with aclosing(redis_cache(server.url, breaker=Breaker(3, 0.01))) as cache:
        server.stop()
        with capture_logs() as logs:
            for expected in ([], [], ["cache_unavailable"], ["cache_unavailable"]):
                with pytest.raises(CacheUnavailableError):
                    await cache.get_many([b"k"])
                assert [line["event"] for line in logs] == expected
            server.start()
            await insist(lambda: cache.get_many([b"k"]))
        assert logs[-1]["event"] == "cache_available"


# No Redis at all


@dataclass
class Peer:
    """A TCP server in this loop that counts who comes and behaves as told."""

    port: int = 0
    connections: int = 0


@contextlib.asynccontextmanager
async def tcp_peer(
    behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Peer]:
    peer = Peer()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.connections += 1
        try:
            await behave(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield peer


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff\xfe\x80\r\n\r\n",
        b"*1\r\n$x\r\n",
        b"*2\r\n$-1\r\n$-1\r\n",
        b"*-7\r\n",
        b":12\r\n",
        b"+\xff\xff\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"",
    ],
)
async def test_whatever_answers_it_is_one_error(reply):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(reply)

    async with tcp_peer(answer) as peer, aclosing(redis_cache(f"redis://127.0.0.1:{peer.port}")) as cache:
        with pytest.raises(CacheUnavailableError):
            await cache.get_many([b"k"])
        with pytest.raises(CacheUnavailableError):
            await cache.put_many({b"k": entry()})
        assert not cache.available


async def test_an_open_breaker_leaves_redis_alone_but_for_one_probe():
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    now = 1000.0
    async with (
        tcp_peer(hang_up) as peer,
        aclosing(redis_cache(f"redis://127.0.0.1:{peer.port}", breaker=Breaker(5, 2.0, clock=lambda: now))) as cache,
    ):

        async def ask_100_times() -> None:
            calls = (cache.get_many([b"k"]) for _ in range(100))
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, CacheUnavailableError) for result in results)

        for _ in range(5):
            with pytest.raises(CacheUnavailableError):
                await cache.get_many([b"k"])
        assert peer.connections == 5
        await ask_100_times()
        assert peer.connections == 5
        now += 2.0
        await ask_100_times()
        assert peer.connections == 6
        assert not cache.available
