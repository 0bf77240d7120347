"""Writes that share: each caller gets its own results, whatever the others send, break or leave."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.joined_writes import JoinedWrites
from models.errors import OverloadedError


class Disk:
    """Writes numbers once its gate is open; gives each number's square."""

    def __init__(self) -> None:
        self.writes: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def write(self, entries: list[int]) -> list[int]:
        self.writes.append(entries)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [entry**2 for entry in entries]


@pytest.fixture
async def disk() -> Disk:
    return Disk()


@pytest.fixture
async def joined(disk: Disk) -> JoinedWrites[int, int]:
    return JoinedWrites(disk.write, max_entries=4, max_waiting=10)


async def begun(joined: JoinedWrites[int, int], *calls: list[int]) -> list[asyncio.Task[list[int]]]:
    tasks = [asyncio.create_task(joined.add(call)) for call in calls]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_one_call_is_one_write(joined, disk):
    assert await joined.add([1, 2]) == [1, 4]
    assert await joined.add([]) == []
    assert disk.writes == [[1, 2], []]


async def test_who_comes_while_a_write_is_under_way_shares_the_next_one(joined, disk):
    disk.gate.clear()
    (first,) = await begun(joined, [1])
    rest = await begun(joined, [2], [3, 4], [5, 6], [7, 8, 9, 10, 11])
    disk.gate.set()
    assert [await one for one in (first, *rest)] == [[1], [4], [9, 16], [25, 36], [49, 64, 81, 100, 121]]
    assert disk.writes == [[1], [2, 3, 4], [5, 6], [7, 8, 9, 10, 11]]


async def test_a_failed_write_fails_its_callers_and_those_behind_and_the_next_goes_on(joined, disk):
    disk.gate.clear()
    disk.failure = ValueError("full")
    tasks = await begun(joined, [1]) + await begun(joined, [2], [3])
    disk.gate.set()
    for task in tasks:
        with pytest.raises(ValueError, match="full"):
            await task
    assert disk.writes == [[1]]
    disk.failure = None
    assert await joined.add([4] * 10) == [16] * 10


async def test_a_caller_who_leaves_takes_nothing_from_the_others(joined, disk):
    disk.gate.clear()
    (first,) = await begun(joined, [1])
    gone, stays = await begun(joined, [2], [3])
    first.cancel()
    gone.cancel()
    disk.gate.set()
    assert await stays == [9]
    for task in (first, gone):
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert disk.writes == [[1], [2, 3]]


async def test_a_failure_that_nobody_waits_for_is_no_fault(joined, disk):
    disk.gate.clear()
    disk.failure = ValueError("full")
    (task,) = await begun(joined, [1])
    task.cancel()
    disk.gate.set()
    await joined.aclose()


async def test_too_many_waiting_entries_are_refused(joined, disk):
    disk.gate.clear()
    tasks = await begun(joined, [0]) + await begun(joined, [1] * 10)
    with pytest.raises(OverloadedError, match="10 events wait to be stored and this call brings 1 more"):
        await joined.add([2])
    disk.gate.set()
    assert await tasks[1] == [1] * 10
    assert await joined.add([2]) == [4]


async def test_closing_waits_for_what_was_to_be_written(joined, disk):
    await joined.aclose()
    disk.gate.clear()
    tasks = await begun(joined, [1]) + await begun(joined, [2])
    closing = asyncio.create_task(joined.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    disk.gate.set()
    await closing
    assert [task.result() for task in tasks] == [[1], [4]]


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=12))
def test_everybody_gets_the_results_of_the_own_entries(calls):
    async def scenario() -> None:
        disk = Disk()
        joined = JoinedWrites(disk.write, max_entries=4, max_waiting=1000)
        found = await asyncio.gather(*(joined.add(call) for call in calls))
        assert found == [[entry**2 for entry in call] for call in calls]
        assert [entry for write in disk.writes for entry in write] == [entry for call in calls for entry in call]

    asyncio.run(scenario())
