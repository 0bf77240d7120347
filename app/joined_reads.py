"""Reads of keys from somewhere slow, joined: who asks while a read is under way shares the next one.

Only touched from one event loop. Knows neither Redis nor what a value is.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(slots=True, eq=False)
class _Batch(Generic[V]):
    answer: asyncio.Future[dict[bytes, V]]
    keys: dict[bytes, None] = field(default_factory=dict)


class JoinedReads(Generic[V]):
    """Makes one read at a time, of all keys that were asked for since the last one began.

    A caller that is cancelled doesn't disturb the read. A read that fails also fails those who wait behind it,
    so that nobody waits through two time limits.

    Args:
        read: Gives the value of each key, in order.
        max_keys: A read that holds so many takes no further callers.
    """

    def __init__(self, read: Callable[[list[bytes]], Awaitable[list[V]]], max_keys: int) -> None:
        self._read = read
        self._max_keys = max_keys
        self._waiting: deque[_Batch[V]] = deque()
        self._reader: asyncio.Task[None] | None = None

    async def get_many(self, keys: Sequence[bytes]) -> list[V]:
        """Gives the value of each key, in order.

        Raises:
            Exception: What `read` raised.
        """
        if not self._waiting or len(self._waiting[-1].keys) >= self._max_keys:
            self._waiting.append(_Batch(asyncio.get_running_loop().create_future()))
        batch = self._waiting[-1]
        batch.keys.update(dict.fromkeys(keys))
        if self._reader is None:
            self._reader = asyncio.create_task(self._run())
        found = await asyncio.shield(batch.answer)
        return [found[key] for key in keys]

    async def aclose(self) -> None:
        """Waits for the reads that were asked for."""
        if self._reader is not None:
            await self._reader

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting.popleft()
                try:
                    values = await self._read(list(batch.keys))
                except Exception as error:
                    for failed in (batch, *self._waiting):
                        failed.answer.set_exception(error)
                    self._waiting.clear()
                else:
                    batch.answer.set_result(dict(zip(batch.keys, values, strict=True)))
        finally:
            self._reader = None
