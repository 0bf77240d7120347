"""Events and profiles for the event loop: stores that block run in threads, and one that fails is left alone a while.

What a failure means to a caller is decided here: an event that isn't stored is refused, a request for candidates
does without its profile.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from app.breaker import Breaker, BreakerOpenError
from app.joined_writes import JoinedWrites
from models.errors import OverloadedError, StoreUnavailableError
from models.events import Event, EventStore
from models.profiles import NOTHING_KNOWN, Profile, profile_of

# A store has one writer at a time anyway; the others hand over to it.
_THREADS = 2
# A batch of requests reads a hundred profiles at once.
_MAX_WAITING_CALLS = 1_024
_EVENTS_A_WRITE = 1_000
_MAX_WAITING_EVENTS = 20_000

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class UserState:
    """What the service keeps of users. Only touched from one event loop.

    Args:
        store: Where it is kept.
        weights: Of event types.
        breaker: When to stop trying; by default from 5 failures in a row on, with one probe every 2 s. Reading
            and writing have their own.
    """

    def __init__(
        self, store: EventStore, weights: Mapping[str, float], *, breaker: Callable[[], Breaker] | None = None
    ) -> None:
        make = breaker or (lambda: Breaker(5, 2.0))
        self._store = store
        self._weights = weights
        # Reads don't queue behind writes that wait for the disk.
        self._reads, self._writes = _Lane("profiles", make()), _Lane("events", make())
        self._events = JoinedWrites(self._append, max_entries=_EVENTS_A_WRITE, max_waiting=_MAX_WAITING_EVENTS)

    async def record(self, events: Sequence[Event]) -> int:
        """Stores events and updates profiles; once it returns, neither is lost.

        Returns:
            How many were new; the others came before.

        Raises:
            StoreUnavailableError: The store can't be reached or can't write: perhaps none was stored.
            OverloadedError: Too many events wait for the store.
        """
        return sum(await self._events.add(events)) if events else 0

    async def profile(self, user_id: str) -> tuple[Profile, bool]:
        """Returns what is known of a user, and whether the store failed to say it."""
        try:
            return await self.find(user_id), False
        except (StoreUnavailableError, OverloadedError):
            return NOTHING_KNOWN, True

    async def find(self, user_id: str) -> Profile:
        """Returns what is known of a user.

        Raises:
            StoreUnavailableError: The store can't be reached.
            OverloadedError: Too many calls wait for the store.
        """
        signals = await self._reads.run(lambda: self._store.signals(user_id))
        return profile_of(signals, self._weights)

    async def erase(self, user_id: str) -> int:
        """Erases a user; returns how many events the log held.

        Raises:
            StoreUnavailableError: The store can't be reached or can't write.
            OverloadedError: Too many calls wait for the store.
        """
        return await self._writes.run(lambda: self._store.erase(user_id))

    async def aclose(self) -> None:
        """Waits for what is being written and closes the store."""
        await self._events.aclose()
        for lane in (self._reads, self._writes):
            await asyncio.get_running_loop().run_in_executor(None, lane.close)
        self._store.close()

    async def _append(self, events: list[Event]) -> list[bool]:
        return await self._writes.run(lambda: self._store.append(events))


class _Lane:
    """Runs one kind of call in threads of its own."""

    def __init__(self, what: str, breaker: Breaker) -> None:
        self._what = what
        self._breaker = breaker
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"recall-{what}")
        self._n_waiting = 0
        self._reported_down = False

    async def run(self, call: Callable[[], _T]) -> _T:
        if self._n_waiting >= _MAX_WAITING_CALLS:
            raise OverloadedError(f"{self._n_waiting} calls wait for the store of {self._what}; come back in a moment")
        self._n_waiting += 1
        try:
            with self._breaker.attempt():
                result = await asyncio.get_running_loop().run_in_executor(self._executor, call)
        except BreakerOpenError:
            raise StoreUnavailableError(
                f"the store of {self._what} failed several times in a row and is asked again every 2 s; come back then"
            ) from None
        except StoreUnavailableError as error:
            self._report_down(error)
            raise
        finally:
            self._n_waiting -= 1
        self._report_up()
        return result

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    def _report_down(self, error: StoreUnavailableError) -> None:
        if not self._reported_down:
            self._reported_down = True
            _log.warning("store_unavailable", what=self._what, error=str(error))

    def _report_up(self) -> None:
        if self._reported_down:
            self._reported_down = False
            _log.info("store_available", what=self._what)
