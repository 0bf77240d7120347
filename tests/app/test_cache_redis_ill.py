"""The cache in a Redis that is down, killed, hung or full, and back again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import numpy as np
import pytest
from structlog.testing import capture_logs

from app.breaker import Breaker
from app.cache import CacheUnavailableError
from tests.app import caches
from tests.app.caches import DIM, SHORT, entry, redis_cache
from tests.redis_server import RedisServer

T = TypeVar("T")

server, cache = caches.server, caches.cache


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Calls until there is an answer; pytest's time-out is the limit."""
    while True:
        with contextlib.suppress(CacheUnavailableError):
            return await call()
        await asyncio.sleep(0.005)


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
