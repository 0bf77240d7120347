"""Writes to somewhere slow, joined: who comes while a write is under way shares the next one.

A disk takes as long for one event as for a thousand. Only touched from one event loop. Knows no store and no event.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from models.errors import OverloadedError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class _Call(Generic[T, R]):
    entries: Sequence[T]
    answer: asyncio.Future[list[R]]


class JoinedWrites(Generic[T, R]):
    """Makes one write at a time, of all that came since the last one began.

    A caller that is cancelled doesn't disturb the write. A write that fails also fails those who wait behind it,
    so that nobody waits through two time limits.

    Args:
        write: Writes entries, all or none of them, and gives a result for each.
        max_entries: A write that holds so many takes no further callers.
        max_waiting: Entries at most that may wait.
    """

    def __init__(self, write: Callable[[list[T]], Awaitable[list[R]]], *, max_entries: int, max_waiting: int) -> None:
        self._write = write
        self._max_entries = max_entries
        self._max_waiting = max_waiting
        self._waiting: deque[_Call[T, R]] = deque()
        self._n_waiting = 0
        self._writer: asyncio.Task[None] | None = None

    async def add(self, entries: Sequence[T]) -> list[R]:
        """Writes the entries and returns the result of each, in order.

        Raises:
            OverloadedError: With these, more than `max_waiting` entries would wait.
            Exception: What `write` raised.
        """
        if self._n_waiting + len(entries) > self._max_waiting:
            raise OverloadedError(
                f"{self._n_waiting} events wait to be stored and this call brings {len(entries)} more, but "
                f"{self._max_waiting} may wait; come back in a moment"
            )
        call = _Call[T, R](entries, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._n_waiting += len(entries)
        if self._writer is None:
            self._writer = asyncio.create_task(self._run())
        return await asyncio.shield(call.answer)

    async def aclose(self) -> None:
        """Waits for what was to be written."""
        if self._writer is not None:
            await self._writer

    async def _run(self) -> None:
        try:
            while self._waiting:
                calls = self._next_calls()
                try:
                    results = await self._write([entry for call in calls for entry in call.entries])
                except Exception as error:
                    self._fail([*calls, *self._waiting], error)
                else:
                    _answer(calls, results)
        finally:
            self._writer = None

    def _next_calls(self) -> list[_Call[T, R]]:
        calls = [self._waiting.popleft()]
        n_entries = len(calls[0].entries)
        while self._waiting and n_entries + len(self._waiting[0].entries) <= self._max_entries:
            calls.append(self._waiting.popleft())
            n_entries += len(calls[-1].entries)
        self._n_waiting -= n_entries
        return calls

    def _fail(self, calls: Sequence[_Call[T, R]], error: Exception) -> None:
        self._waiting.clear()
        self._n_waiting = 0
        for call in calls:
            call.answer.set_exception(error)
            call.answer.exception()  # marks it as seen: its caller may have gone


def _answer(calls: Sequence[_Call[T, R]], results: Sequence[R]) -> None:
    start = 0
    for call in calls:
        end = start + len(call.entries)
        call.answer.set_result(list(results[start:end]))
        start = end
