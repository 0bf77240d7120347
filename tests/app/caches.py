"""What tests of caches share: a Redis of their own to break, clients of it, entries, and what is none."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import numpy as np
import pytest

from app.cache import CachedText, RedisCache
from tests.app.harness import LONG
from tests.redis_server import RedisServer

DIM = 4
SHORT = 0.05  # seconds given to an answer that doesn't come


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
