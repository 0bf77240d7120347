"""Texts to vectors for the service: this process' memory, then Redis, then the encoder, each text once.

A failing Redis costs hits, never an answer. Knows nothing of HTTP, prompts or the text recipe: texts come
normalised, and `encode` does the rest.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, TypeAlias

import numpy as np

from app.cache import CachedText, CacheUnavailableError, MemoryCache, RedisCache, cache_key, is_unit
from models.errors import EncoderError, OverloadedError
from models.types import Matrix, Vector

Encoded: TypeAlias = tuple[Vector, bool]
"""A text's unit vector, shape `(dim,)`, and whether the text was cut."""

Begin: TypeAlias = Callable[[str, bool], asyncio.Future[Encoded]]
"""Begins to encode a normalised text somewhere beside the event loop; told whether no other text is being encoded."""

CacheUse: TypeAlias = Literal["hit", "partial", "miss", "off"]

# Entries on their way to Redis: how many may wait (newer ones are dropped), and how many go in one trip.
_MAX_UNWRITTEN = 1024
_WRITE_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class TextVectorsAnswer:
    """The vectors of one call.

    Attributes:
        vectors: Shape `(n, dim)`, in the order of the texts, unit length as far as float16 can tell.
        cache: How many of the distinct texts were cached: all, some, none; "off" where nothing is kept.
        truncated: At least one text was longer than the encoder reads.
        degraded: `("cache",)` while Redis is configured and failing, else empty.
    """

    vectors: Matrix
    cache: CacheUse
    truncated: bool
    degraded: tuple[str, ...]


class TextVectors:
    """Gives vectors of texts and remembers them.

    A vector is rounded to float16 before its first use, so that a hit and a miss answer alike to the last
    digit. Only touched from one event loop.

    Args:
        begin: Begins to encode.
        namespace: Encoder fingerprint and runtime: vectors are shared under equal ones only.
        dim: Length of the vectors.
        memory: Looked at first.
        remote: Looked at second; None where there is no Redis. Stays its owner's to close.
        max_waiting: Texts at most that may be in encoding or wait for it.
    """

    def __init__(
        self,
        begin: Begin,
        *,
        namespace: str,
        dim: int,
        memory: MemoryCache,
        remote: RedisCache | None,
        max_waiting: int,
    ) -> None:
        self._begin = begin
        self._namespace = namespace
        self._dim = dim
        self._memory = memory
        self._remote = remote
        self._max_waiting = max_waiting
        self._flights: dict[bytes, asyncio.Future[CachedText]] = {}
        self._unwritten: dict[bytes, CachedText] = {}
        self._writer: asyncio.Task[None] | None = None

    async def get(self, texts: Sequence[str]) -> TextVectorsAnswer:
        """Gives the vectors of the texts, in order.

        A text that another call is just encoding is waited for, not encoded again; a caller that is cancelled
        takes nothing from the others.

        Args:
            texts: Normalised; equal ones are encoded once.

        Raises:
            OverloadedError: With the texts to be encoded, more than `max_waiting` would wait.
            EncoderError: The encoder gave something that is no unit vector of `dim` values; whatever it raises comes
                out as it is. Neither is remembered.
        """
        keys = [cache_key(self._namespace, text) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        entries, read_failed = await self._look_up(wanted)
        cache = self._cache_use(len(entries), len(wanted))
        if len(entries) < len(wanted):
            flights = self._join({key: text for key, text in wanted.items() if key not in entries})
            entries.update(zip(flights, await _landed(list(flights.values())), strict=True))
        degraded = bool(wanted) and (read_failed or self._remote_failing())
        if degraded and self._writer is None:
            # Where memory answers everything, only a write can find out that Redis is back; and it may have
            # come back empty.
            self._write_later(entries)
        vectors = np.empty((len(keys), self._dim), dtype=np.float32)
        for row, key in enumerate(keys):
            vectors[row] = entries[key].vector
        return TextVectorsAnswer(
            vectors=vectors,
            cache=cache,
            truncated=any(entry.truncated for entry in entries.values()),
            degraded=("cache",) if degraded else (),
        )

    async def aclose(self) -> None:
        """Waits for what is being encoded and for the last write to Redis."""
        if self._flights:
            await asyncio.wait(self._flights.values())
        if self._writer is not None:
            await self._writer

    async def _look_up(self, keys: Iterable[bytes]) -> tuple[dict[bytes, CachedText], bool]:
        found = self._in_memory(keys)
        missing = [key for key in keys if key not in found and key not in self._flights]
        if self._remote is None or not missing:
            return found, False
        try:
            replies = await self._remote.get_many(missing)
        except CacheUnavailableError:
            return found | self._in_memory(missing), True
        remote = {key: entry for key, entry in zip(missing, replies, strict=True) if entry is not None}
        self._memory.put_many(remote)
        # Others may have encoded some of the texts while Redis was asked.
        return found | self._in_memory(missing) | remote, False

    def _in_memory(self, keys: Iterable[bytes]) -> dict[bytes, CachedText]:
        keys = list(keys)
        return {key: entry for key, entry in zip(keys, self._memory.get_many(keys), strict=True) if entry is not None}

    def _cache_use(self, n_found: int, n_wanted: int) -> CacheUse:
        if self._remote is None and self._memory.max_entries == 0:
            return "off"
        if n_found == n_wanted:
            return "hit"
        return "partial" if n_found else "miss"

    def _join(self, missing: Mapping[bytes, str]) -> dict[bytes, asyncio.Future[CachedText]]:
        new = [key for key in missing if key not in self._flights]
        if len(self._flights) + len(new) > self._max_waiting:
            raise OverloadedError(
                f"{len(self._flights)} texts wait for encoding and this request brings {len(new)} more, but "
                f"{self._max_waiting} may wait; come back in a moment, or send fewer texts at once"
            )
        by_itself = len(new) == 1 and not self._flights
        for key in new:
            begun = self._begin(missing[key], by_itself)
            self._flights[key] = flight = asyncio.get_running_loop().create_future()
            begun.add_done_callback(partial(self._land, key, flight))
        return {key: self._flights[key] for key in missing}

    def _land(self, key: bytes, flight: asyncio.Future[CachedText], begun: asyncio.Future[Encoded]) -> None:
        del self._flights[key]
        if begun.cancelled():
            flight.cancel()
            return
        error = begun.exception()
        if error is None:
            try:
                entry = self._rounded(*begun.result())
            except EncoderError as wrong:
                error = wrong
        if error is not None:
            flight.set_exception(error)
            flight.exception()  # marks it as seen: all who waited may have gone
            return
        flight.set_result(entry)
        self._memory.put_many({key: entry})
        self._write_later({key: entry})

    def _rounded(self, vector: Vector, truncated: bool) -> CachedText:
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = vector.astype(np.float16)
        if rounded.shape != (self._dim,) or not is_unit(rounded):
            length = np.linalg.norm(rounded.astype(np.float32))
            raise EncoderError(
                f"the encoder gave a vector of shape {rounded.shape} and length {length:.4g}, expected "
                f"({self._dim},) and 1; check the artifact with `python -m index_builder verify`"
            )
        rounded.setflags(write=False)
        return CachedText(rounded, bool(truncated))

    def _remote_failing(self) -> bool:
        return self._remote is not None and not self._remote.available

    def _write_later(self, entries: Mapping[bytes, CachedText]) -> None:
        if self._remote is None:
            return
        self._unwritten.update(islice(entries.items(), max(0, _MAX_UNWRITTEN - len(self._unwritten))))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(self._remote))

    async def _write(self, remote: RedisCache) -> None:
        try:
            while self._unwritten:
                batch = dict(islice(self._unwritten.items(), _WRITE_BATCH))
                for key in batch:
                    del self._unwritten[key]
                await remote.put_many(batch)
        except CacheUnavailableError:
            # What waits would fail alike; what is still in use is queued again by `get`.
            self._unwritten.clear()
        finally:
            self._writer = None


async def _landed(flights: Sequence[asyncio.Future[CachedText]]) -> Sequence[CachedText]:
    # Shielded: a flight belongs to all who wait for it. Nearly always it is one, and gathering is a detour.
    if len(flights) == 1:
        return [await asyncio.shield(flights[0])]
    return await asyncio.gather(*map(asyncio.shield, flights))
