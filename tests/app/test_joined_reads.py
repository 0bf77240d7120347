"""Reads that are joined: one at a time, each caller its own values, an error for all who wait."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.joined_reads import JoinedReads


class Source:
    """Gives each key reversed, keeps the reads it saw, and waits at a gate."""

    def __init__(self) -> None:
        self.reads: list[list[bytes]] = []
        self.at_once = 0
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def read(self, keys: list[bytes]) -> list[bytes]:
        """What JoinedReads calls."""
        self.reads.append(keys)
        self.at_once += 1
        assert self.at_once == 1
        await self.gate.wait()
        self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        return [key[::-1] for key in keys]


def start(reads: JoinedReads[bytes], asked: Sequence[Sequence[bytes]]) -> list[asyncio.Task[list[bytes]]]:
    return [asyncio.create_task(reads.get_many(keys)) for keys in asked]


async def test_who_asks_during_a_read_shares_the_next():
    source = Source()
    reads = JoinedReads(source.read, 100)
    first = start(reads, [[b"ab"]])
    await asyncio.sleep(0.001)
    later = start(reads, [[b"cd", b"ab"], [b"ef"], [b"cd"]])
    await asyncio.sleep(0.001)
    source.gate.set()
    assert await asyncio.gather(*first, *later) == [[b"ba"], [b"dc", b"ba"], [b"fe"], [b"dc"]]
    assert source.reads == [[b"ab"], [b"cd", b"ab", b"ef"]]


async def test_a_full_read_takes_no_more_callers_but_a_call_is_never_split():
    source = Source()
    reads = JoinedReads(source.read, 2)
    source.gate.set()
    await asyncio.gather(*start(reads, [[b"1"], [b"2", b"3", b"4"], [b"5"]]))
    assert source.reads == [[b"1", b"2", b"3", b"4"], [b"5"]]


async def test_a_failure_reaches_those_in_it_and_those_behind_it_and_nobody_later():
    source = Source()
    reads = JoinedReads(source.read, 1)
    source.failure = OSError("dead")
    calls = start(reads, [[b"1"], [b"2"], [b"3"]])
    await asyncio.sleep(0.001)
    source.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results == [source.failure] * 3
    assert source.reads == [[b"1"]]
    source.failure = None
    assert await reads.get_many([b"12"]) == [b"21"]


async def test_a_cancelled_caller_disturbs_nobody():
    source = Source()
    reads = JoinedReads(source.read, 100)
    leader, follower = start(reads, [[b"ab"], [b"ab", b"cd"]])
    await asyncio.sleep(0.001)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    source.gate.set()
    assert await follower == [b"ba", b"dc"]


async def test_closing_waits_for_what_was_asked():
    source = Source()
    reads = JoinedReads(source.read, 100)
    (call,) = start(reads, [[b"ab"]])
    await asyncio.sleep(0.001)
    asyncio.get_running_loop().call_soon(source.gate.set)
    await reads.aclose()
    await asyncio.sleep(0)
    assert call.done()
    await reads.aclose()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.binary(max_size=2), min_size=1, max_size=5))), st.integers(1, 6)
)
def test_every_caller_gets_its_own_values_whenever_it_comes(calls, max_keys):
    async def run() -> None:
        source = Source()
        source.gate.set()
        reads = JoinedReads(source.read, max_keys)

        async def ask(steps: int, keys: list[bytes]) -> None:
            for _ in range(steps):
                await asyncio.sleep(0)
            assert await reads.get_many(keys) == [key[::-1] for key in keys]

        await asyncio.gather(*(ask(steps, keys) for steps, keys in calls))

    asyncio.run(run())
