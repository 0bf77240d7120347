"""What tests of text vectors share: an encoder that counts and waits, text vectors and caches over it."""

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager

import numpy as np
import pytest

from app.breaker import Breaker
from app.cache import MemoryCache, RedisCache
from app.encoding import in_threads
from app.text_vectors import TextVectors
from models.types import Vector
from tests.app.harness import LONG

DIM = 24


class Encoder:
    """Gives each text its own vector, counts, waits at a gate, fails on demand; a text ending in … is cut."""

    def __init__(self) -> None:
        self._asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: BaseException | None = None
        self.bad_vector: Vector | None = None

    @property
    def calls(self) -> Counter[str]:
        """How often each text was encoded."""
        return Counter(list(self._asked))  # a copy: the threads go on

    def __call__(self, text: str) -> tuple[Vector, bool]:
        """Runs in the executor's threads."""
        self._asked.append(text)
        assert self.gate.wait(LONG)
        if self.failure is not None:
            raise self.failure
        if self.bad_vector is not None:
            return self.bad_vector, False
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        vector = np.random.default_rng(seed).standard_normal(DIM)
        return (vector / np.linalg.norm(vector)).astype(np.float32), text.endswith("…")

    def rounded(self, text: str) -> Vector:
        """What every answer must hold for this text, to the last digit."""
        return Encoder()(text)[0].astype(np.float16).astype(np.float32)


@pytest.fixture
def encoder() -> Iterator[Encoder]:
    encoder = Encoder()
    yield encoder
    encoder.gate.set()


@asynccontextmanager
async def texts_of(
    encoder: Encoder,
    *,
    remote: RedisCache | None = None,
    max_entries: int = 1000,
    max_waiting: int = 1000,
    namespace: str = "space",
) -> AsyncIterator[TextVectors]:
    with ThreadPoolExecutor(2) as executor:
        texts = TextVectors(
            in_threads(encoder, executor),
            namespace=namespace,
            dim=DIM,
            memory=MemoryCache(max_entries),
            remote=remote,
            max_waiting=max_waiting,
        )
        try:
            yield texts
        finally:
            encoder.gate.set()
            await texts.aclose()


@asynccontextmanager
async def redis_of(url: str, *, timeout_seconds: float = LONG, breaker: Breaker | None = None):
    breaker = breaker or Breaker(5, 0.01)
    cache = RedisCache(url, dim=DIM, ttl_seconds=60, timeout_seconds=timeout_seconds, breaker=breaker)
    async with aclosing(cache):
        yield cache


async def until_encoding(encoder: Encoder, n_calls: int) -> None:
    while encoder.calls.total() < n_calls:
        await asyncio.sleep(0.001)
