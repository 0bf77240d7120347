"""Requests come when they are due, whatever the server does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import repeat

from benchmarks.load import Round, Target, run, status_check
from benchmarks.open_loop import measure_open
from benchmarks.servers import free_port

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
WAITING = 12


async def _load_on_a_server(before_answer: Callable[[], Awaitable[None]]) -> Round:
    """Returns what about 30 requests in half a second saw of a server that does something before each answer."""
    port = free_port()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            await before_answer()
            writer.write(ANSWER)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        return await measure_open(Target(port, "/"), repeat(b"{}"), status_check, per_second=60, seconds=0.5)


async def _load_on_a_server_that_waits_for_many() -> Round:
    """Nobody is answered until `WAITING` requests wait: who asks only after an answer never comes to that."""
    waiting, enough = 0, asyncio.Event()

    async def wait_for_many() -> None:
        nonlocal waiting
        waiting += 1
        if waiting == WAITING:
            enough.set()
        await enough.wait()

    return await _load_on_a_server(wait_for_many)


async def _load_that_is_held_up() -> Round:
    """The first request stops the loop that all others are sent from, for 300 ms."""
    first = True

    async def hold_up_once() -> None:
        nonlocal first
        if first:
            first = False
            time.sleep(0.3)  # the loop itself stops

    return await _load_on_a_server(hold_up_once)


def test_a_server_that_holds_its_answers_is_asked_again_all_the_same() -> None:
    found = run(_load_on_a_server_that_waits_for_many())
    assert not found.failures
    assert found.requests > WAITING


def test_a_requests_time_runs_from_when_it_was_due() -> None:
    """What was due while nothing could be sent was answered at once when it was, and has waited all the same."""
    found = run(_load_that_is_held_up())
    assert not found.failures
    assert (found.milliseconds > 100).sum() > 5
