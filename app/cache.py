"""Stores of text vectors by key: in this process, and in a Redis that may die at any moment.

Knows how a vector is kept and when an entry can't be trusted. Knows neither encoders nor who asks; what a
miss or a dead Redis means to a request is decided in `app.text_vectors`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias, TypeVar

import numpy as np
import structlog
from cachetools import LRUCache
from numpy.typing import NDArray
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse, RedisError

from app.breaker import Breaker
from app.joined_reads import JoinedReads
from models.errors import ConfigError

HalfVector: TypeAlias = NDArray[np.float16]
"""One vector in the precision in which it is kept, shape `(dim,)`."""

_REDIS_PREFIX = b"recall:v1:"
_MAX_CONNECTIONS = 4
# No answer waits for a write, so a busy loop needn't make it fail.
_WRITE_PATIENCE = 5
# Such a read takes the event loop a few milliseconds.
_MAX_KEYS_A_READ = 256
# Rounding to float16 moves a unit vector's length by 5e-4 at most.
_NORM_TOLERANCE = 2e-3

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class CacheUnavailableError(Exception):
    """Redis gave no usable answer; it never leaves the service."""


def cache_key(namespace: str, text: str) -> bytes:
    """Gives 16 bytes that stand for one text in one vector space.

    Args:
        namespace: What decides the vector besides the text: encoder fingerprint and runtime.
        text: The text as the encoder will see it, normalised.
    """
    # JSON can carry lone surrogates, which strict UTF-8 refuses.
    space = namespace.encode("utf-8", "surrogatepass")
    digest = blake2b(len(space).to_bytes(8, "little"), digest_size=16)
    digest.update(space)
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


def is_unit(vector: HalfVector) -> bool:
    """Says whether a vector is finite and of length 1 as far as float16 can tell."""
    # A NaN or an infinity makes the comparison false.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(abs(np.linalg.norm(vector.astype(np.float32)) - 1.0) <= _NORM_TOLERANCE)


@dataclass(frozen=True, slots=True, eq=False)
class CachedText:
    """The vector of one text, as it is kept and as it is used.

    Attributes:
        vector: Unit length, shape `(dim,)`, read-only because many requests share it.
        truncated: The text was longer than the encoder reads.
    """

    vector: HalfVector
    truncated: bool

    def to_bytes(self) -> bytes:
        """Gives little-endian float16 values and one flag byte."""
        return self.vector.astype("<f2").tobytes() + bytes([self.truncated])

    @classmethod
    def from_bytes(cls, data: bytes, dim: int) -> "CachedText | None":
        """Reads what `to_bytes` wrote; None for anything else, which is then a miss."""
        if len(data) != 2 * dim + 1 or data[-1] > 1:
            return None
        vector = np.frombuffer(data, dtype="<f2", count=dim).astype(np.float16, copy=False)
        return cls(vector, bool(data[-1])) if is_unit(vector) else None


class MemoryCache:
    """The least recently used entries of this process; only touched from the event loop, so without locks.

    Args:
        max_entries: 0 keeps nothing.
    """

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self._entries: LRUCache[bytes, CachedText] = LRUCache(max_entries)

    def get_many(self, keys: Sequence[bytes]) -> list[CachedText | None]:
        """Gives the entry of each key, None where there is none."""
        return [self._entries.get(key) for key in keys]

    def put_many(self, entries: Mapping[bytes, CachedText]) -> None:
        """Keeps the entries, dropping those used longest ago."""
        if self.max_entries > 0:
            self._entries.update(entries)


class RedisCache:
    """Entries in Redis, shared by the processes that name it, with a time limit on everything.

    Opens no connection before the first use. A call that runs out of time closes the connection it used, so
    that no later call reads its reply.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        dim: Length of the vectors; an entry of another length is a miss.
        ttl_seconds: Redis forgets an entry so long after it was written.
        timeout_seconds: Most that one read may take, connecting included; a write, for which no answer waits, may
            take five times as long.
        breaker: When to stop trying; by default from 5 failures in a row on, with one probe every 2 s.

    Raises:
        ConfigError: `url` is no Redis URL.
    """

    def __init__(
        self,
        url: str,
        *,
        dim: int,
        ttl_seconds: int,
        timeout_seconds: float = 0.02,
        breaker: Breaker | None = None,
    ) -> None:
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_MAX_CONNECTIONS,
                timeout=None,  # these waits end with timeout_seconds
                socket_timeout=None,
                socket_connect_timeout=1.0,  # bounds the closing of a connection
                retry=Retry(NoBackoff(), 0),
                protocol=2,  # version 3 and driver_info cost round trips on connecting
                driver_info=None,
            )
        except ValueError as error:
            # The URL may hold a password, so it isn't shown.
            raise ConfigError(f"the Redis URL can't be used: {error}; write redis://host:6379/0") from None
        self._client = Redis.from_pool(pool)
        self._dim = dim
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        self._breaker = breaker or Breaker(5, 2.0)
        # One connection reads and one writes, however many ask: the loop is the narrow place, not Redis.
        self._reads = JoinedReads(self._read, _MAX_KEYS_A_READ)
        self._write_failed = False
        self._reported_down = False

    @property
    def available(self) -> bool:
        """The newest attempt to reach Redis and the newest write succeeded, or none was made yet."""
        return not (self._breaker.failing or self._write_failed)

    async def get_many(self, keys: Sequence[bytes]) -> list[CachedText | None]:
        """Gives the entry of each key, None where there is none that can be trusted.

        One round trip, shared with those who ask at the same time.

        Raises:
            CacheUnavailableError: Redis failed, took too long, or wasn't asked because it failed before.
        """
        if not keys:
            return []
        return await self._reads.get_many(keys)

    async def put_many(self, entries: Mapping[bytes, CachedText]) -> None:
        """Writes the entries in one round trip.

        Raises:
            CacheUnavailableError: As for `get_many`, or Redis refused an entry, being full for instance.
        """
        if not entries:
            return
        pipeline = self._client.pipeline(transaction=False)
        for key, entry in entries.items():
            pipeline.set(_REDIS_PREFIX + key, entry.to_bytes(), ex=self._ttl_seconds)
        try:
            # A full Redis still reads well: its refusals are no failures to the breaker.
            replies = await self._guarded(
                lambda: pipeline.execute(raise_on_error=False), _WRITE_PATIENCE * self._timeout_seconds
            )
        except CacheUnavailableError:
            self._write_failed = True
            raise
        refusal = next((reply for reply in replies if reply is not True), None)
        self._write_failed = refusal is not None
        if refusal is not None:
            raise self._unavailable(refusal, lasting=True)
        self._report_recovery()

    async def aclose(self) -> None:
        """Waits for the last read and closes the connections."""
        await self._reads.aclose()
        with suppress(RedisError):
            await self._client.aclose()

    async def _read(self, keys: list[bytes]) -> list[CachedText | None]:
        async def mget() -> list[CachedText | None]:
            values = await self._client.mget([_REDIS_PREFIX + key for key in keys])
            if len(values) != len(keys):
                raise InvalidResponse(f"{len(values)} values for {len(keys)} keys")
            return [CachedText.from_bytes(value, self._dim) if isinstance(value, bytes) else None for value in values]

        entries = await self._guarded(mget, self._timeout_seconds)
        self._report_recovery()
        return entries

    async def _guarded(self, call: Callable[[], Awaitable[_T]], seconds: float) -> _T:
        try:
            with self._breaker.attempt():
                async with asyncio.timeout(seconds):
                    return await call()
        except Exception as error:  # what isn't Redis at the other end makes the client raise anything
            raise self._unavailable(error, lasting=self._breaker.is_open) from error

    def _unavailable(self, reason: object, *, lasting: bool) -> CacheUnavailableError:
        # The repr of redis' errors lacks their message.
        words = f"{type(reason).__name__} {reason}".strip()
        if lasting and not self._reported_down:
            self._reported_down = True
            _log.warning("cache_unavailable", error=words, timeout_seconds=self._timeout_seconds)
        return CacheUnavailableError(f"Redis gave no usable answer: {words}")

    def _report_recovery(self) -> None:
        if self._reported_down and self.available:
            self._reported_down = False
            _log.info("cache_available")
