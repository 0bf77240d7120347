"""Stores that block, fail or hang, as the event loop sees them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from app.breaker import Breaker
from app.user_state import UserState
from models.errors import OverloadedError, StoreUnavailableError
from models.events import Event, Signal, Signals
from models.profiles import NOTHING_KNOWN

EVENT = Event.model_validate({"event_id": "e", "user_id": "u", "item_id": "i", "type": "click", "timestamp": 1.0})


class MoodyStore:
    """A store that waits while its gate is shut, and fails on demand."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.calls: list[str] = []
        self.closed = False

    def log_id(self) -> str | None:
        return "id"

    def append(self, events: Sequence[Event]) -> list[bool]:
        self._do("append")
        return [True] * len(events)

    def read(self, after: str, limit: int) -> list[Any]:
        return []

    def trim(self, up_to: str) -> None:
        pass

    def signals(self, user_id: str) -> Signals:
        self._do("signals")
        return Signals([Signal("click", "i", 1.0)], [])

    def erase(self, user_id: str) -> int:
        self._do("erase")
        return 3

    def close(self) -> None:
        self.closed = True

    def _do(self, call: str) -> None:
        self.calls.append(call)
        assert self.gate.wait(20)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def store() -> MoodyStore:
    return MoodyStore()


@pytest.fixture
async def now() -> list[float]:
    return [0.0]


@pytest.fixture
async def users(store: MoodyStore, now: list[float]) -> AsyncIterator[UserState]:
    users = UserState(store, {"click": 1.0}, breaker=lambda: Breaker(2, 10.0, clock=lambda: now[0]))
    yield users
    store.gate.set()
    await users.aclose()
    assert store.closed


async def test_what_a_store_says_comes_back(users):
    assert await users.record([EVENT]) == 1
    assert await users.erase("u") == 3
    profile, failed = await users.profile("u")
    assert [item.id for item in profile.history] == ["i"]
    assert not failed


async def test_the_loop_goes_on_while_a_store_blocks(users, store):
    store.gate.clear()
    writing = asyncio.create_task(users.record([EVENT]))
    while not store.calls:
        await asyncio.sleep(0.001)
    assert not writing.done()
    store.gate.set()
    assert await writing == 1


async def test_reads_do_not_wait_behind_writes(users, store):
    store.gate.clear()
    writing = [asyncio.create_task(users.record([EVENT])) for _ in range(5)]
    while not store.calls:
        await asyncio.sleep(0.001)
    reading = asyncio.create_task(users.find("u"))
    while "signals" not in store.calls:
        await asyncio.sleep(0.001)
    store.gate.set()
    await asyncio.gather(*writing, reading)


async def test_a_failure_refuses_events_and_leaves_a_profile_out(users, store):
    store.failure = StoreUnavailableError("gone")
    for call in (users.record([EVENT]), users.erase("u"), users.find("u")):
        with pytest.raises(StoreUnavailableError, match="gone"):
            await call
    assert await users.profile("u") == (NOTHING_KNOWN, True)


async def test_after_failures_in_a_row_the_store_is_left_alone_for_a_while(users, store, now, logs):
    store.failure = StoreUnavailableError("gone")
    for _ in range(5):
        assert (await users.profile("u"))[1]
    assert store.calls == ["signals"] * 2
    with pytest.raises(StoreUnavailableError, match="several times in a row"):
        await users.find("u")
    store.failure = None
    assert await users.record([EVENT]) == 1  # writing has a breaker of its own
    now[0] += 11
    assert (await users.profile("u"))[1] is False
    assert [entry["event"] for entry in logs] == ["store_unavailable", "store_available"]


async def test_a_fault_of_ours_is_no_degraded_answer(users, store):
    store.failure = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        await users.profile("u")


async def begun(users: UserState, store: MoodyStore, *sizes: int) -> list[asyncio.Task[int]]:
    """Starts calls, the first of which is with the store when this returns and the others wait."""
    store.gate.clear()
    tasks = []
    for size in sizes:
        tasks.append(asyncio.create_task(users.record([EVENT] * size)))
        while not store.calls:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    return tasks


async def test_too_many_waiting_events_are_refused(users, store):
    waiting = await begun(users, store, *[1000] * 21)
    with pytest.raises(OverloadedError, match="20000 events wait"):
        await users.record([EVENT])
    store.gate.set()
    assert await asyncio.gather(*waiting) == [1000] * 21


async def test_too_many_waiting_calls_are_refused(users, store):
    store.gate.clear()
    waiting = [asyncio.create_task(users.find("u")) for _ in range(1024)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="1024 calls wait"):
        await users.find("u")
    assert (await users.profile("u"))[1]
    store.gate.set()
    await asyncio.gather(*waiting)


async def test_events_that_come_while_a_write_is_under_way_share_the_next_one(users, store):
    calls = await begun(users, store, 1, 2, 3)
    store.gate.set()
    assert await asyncio.gather(*calls) == [1, 2, 3]
    assert len(store.calls) == 2


async def test_closing_waits_for_what_is_being_written(store):
    users = UserState(store, {})
    store.gate.clear()
    writing = asyncio.create_task(users.record([EVENT]))
    while not store.calls:
        await asyncio.sleep(0.001)
    closing = asyncio.create_task(users.aclose())
    await asyncio.sleep(0.01)
    assert not store.closed
    store.gate.set()
    await closing
    assert (await writing, store.closed) == (1, True)
