"""The cache in a Redis that is well: few round trips, garbage in it, callers who leave."""

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from tests.app import caches
from tests.app.caches import DIM, SHORT, entry, garbage, redis_cache

server, cache = caches.server, caches.cache


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
