"""Requests come when they are due, whatever the server does."""

import asyncio
from itertools import repeat

from benchmarks.load import Target, run, status_check
from benchmarks.open_loop import measure_open
from benchmarks.servers import free_port

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def _load_on_a_slow_server() -> tuple[int, list[float]]:
    """Returns how many were answered, and how long each took, by a server that answers one at a time in 50 ms."""
    turn, port = asyncio.Lock(), free_port()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            async with turn:
                await asyncio.sleep(0.05)
            writer.write(ANSWER)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        found = await measure_open(Target(port, "/"), repeat(b"{}"), status_check, per_second=60, seconds=0.5)
    assert not found.failures
    return found.requests, found.milliseconds.tolist()


def test_a_server_that_is_too_slow_makes_later_requests_wait_longer() -> None:
    """A closed loop would ask 10 times and see 50 ms; here about 30 come, and the last waits for all before it."""
    n, milliseconds = run(_load_on_a_slow_server())
    assert n > 15
    assert max(milliseconds) > 8 * 50
    assert min(milliseconds) >= 50
