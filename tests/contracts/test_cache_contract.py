"""What every store of text vectors does alike: in this process and in a real Redis."""

import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from app.cache import CachedText, MemoryCache, RedisCache, cache_key
from tests.redis_server import RedisServer

DIM = 6


class Store:
    """Awaits where the store must be awaited."""

    def __init__(self, cache: MemoryCache | RedisCache) -> None:
        self.cache = cache

    async def get_many(self, keys: Sequence[bytes]) -> list[CachedText | None]:
        """Reads from either kind."""
        answer = self.cache.get_many(keys)
        return await answer if inspect.isawaitable(answer) else answer

    async def put_many(self, entries: Mapping[bytes, CachedText]) -> None:
        """Writes to either kind."""
        answer = self.cache.put_many(entries)
        if inspect.isawaitable(answer):
            await answer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield Store(MemoryCache(1000))
        return
    server = request.getfixturevalue("server")
    server.command("FLUSHALL")
    cache = RedisCache(server.url, dim=DIM, ttl_seconds=60, timeout_seconds=20.0)
    yield Store(cache)
    await cache.aclose()


def entry(seed: int, *, truncated: bool = False) -> CachedText:
    vector = np.random.default_rng(seed).standard_normal(DIM)
    return CachedText((vector / np.linalg.norm(vector)).astype(np.float16), truncated)


def key(number: int) -> bytes:
    return cache_key("contract", str(number))


def same(got: CachedText | None, want: CachedText) -> bool:
    return (
        got is not None
        and got.vector.tobytes() == want.vector.tobytes()
        and got.vector.dtype == np.float16
        and got.truncated is want.truncated
    )


async def test_what_was_put_comes_back_to_the_last_bit(store):
    entries = {key(n): entry(n, truncated=n % 2 == 1) for n in range(50)}
    await store.put_many(entries)
    got = await store.get_many(list(entries))
    assert all(same(one, want) for one, want in zip(got, entries.values(), strict=True))


async def test_answers_follow_the_keys_with_none_for_a_miss_and_repeats_allowed(store):
    await store.put_many({key(1): entry(1), key(2): entry(2)})
    got = await store.get_many([key(2), key(7), key(1), key(2)])
    assert [one is not None for one in got] == [True, False, True, True]
    assert same(got[0], entry(2))
    assert same(got[2], entry(1))
    assert same(got[3], entry(2))


async def test_the_newest_put_wins(store):
    await store.put_many({key(1): entry(1)})
    await store.put_many({key(1): entry(2)})
    (got,) = await store.get_many([key(1)])
    assert same(got, entry(2))


async def test_nothing_asked_nothing_done(store):
    await store.put_many({})
    assert await store.get_many([]) == []


async def test_keys_are_any_bytes(store):
    keys = [b"", b"\x00" * 16, b"\r\n$-1\r\n", bytes(range(256))]
    await store.put_many({one: entry(n) for n, one in enumerate(keys)})
    got = await store.get_many(keys)
    assert all(same(one, entry(n)) for n, one in enumerate(got))
