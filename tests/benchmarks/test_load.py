import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import repeat
from typing import TypeAlias

import orjson
import pytest

from benchmarks import load
from benchmarks.load import Target, ask, candidates_check, measure

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

K = 3
ANSWERED = "abc"


def answer(ids: str, *, status: str = "200 OK", cache: str = "miss") -> bytes:
    content = orjson.dumps({"candidates": [{"id": item_id} for item_id in ids], "cache": cache})
    return whole(content, status)


def whole(content: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


@asynccontextmanager
async def serving(serve: Callable[[Streams], Awaitable[None]]) -> AsyncIterator[Target]:
    """A server that handles each connection by `serve`; leaves none open."""
    handlers = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        with suppress(OSError, EOFError):  # the client has gone
            await serve((reader, writer))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield Target(server.sockets[0].getsockname()[1], "/recall")
    await asyncio.gather(*handlers)


@asynccontextmanager
async def stub(*script: bytes) -> AsyncIterator[tuple[Target, list[bytes]]]:
    """A server that gives the scripted bytes in turn, then good answers; hangs up after an empty or cut one."""
    replies, asked = iter(script), []

    async def serve(streams: Streams) -> None:
        reader, writer = streams
        reply = b"whole"
        while reply and not reply.endswith(b"cut"):
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])))
            reply = next(replies, answer(ANSWERED))
            writer.write(reply)

    async with serving(serve) as target:
        yield target, asked


async def failures(*script: bytes, requests: int = 4) -> dict[str, int]:
    """Measures with the script's answers followed by good ones; asserts that nothing is lost in the count."""
    async with stub(*script) as (target, _):
        check = candidates_check(K, cache="miss")
        measured = await measure(target, repeat(b"{}", requests), check, connections=1, seconds=60)
    assert measured.requests == requests
    assert len(measured.milliseconds) == requests - measured.failures.total()
    return dict(measured.failures)


async def test_good_answers_are_no_failures() -> None:
    assert await failures() == {}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer("abc", status="500 Internal Server Error"), "status 500"),
        (answer("abc", status="201 Created"), "status 201"),
        (answer("ab"), "2 candidates instead of 3"),
        (answer("abcd"), "4 candidates instead of 3"),
        (answer("aba"), "2 distinct ids instead of 3"),
        (answer("abc", cache="hit"), "cache 'hit' instead of 'miss'"),
        (whole(b'{"candidates": null}'), "no list of candidates"),
        (whole(b"[]"), "no list of candidates"),
        (whole(b"<html>"), "no list of candidates"),
        (b"", "connection lost (IncompleteReadError)"),
        (whole(b"x" * 20)[:-10] + b"cut", "connection lost (IncompleteReadError)"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "not HTTP/1.1 with a Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "not HTTP/1.1 with a Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "not HTTP/1.1 with a Content-Length"),
    ],
)
async def test_a_bad_answer_is_one_failure_and_the_next_answer_is_good(reply: bytes, reason: str) -> None:
    assert await failures(answer("abc"), reply) == {reason: 1}


async def test_an_answer_that_never_comes_is_a_failure() -> None:
    async with stub(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") as (target, _):
        hung, good = await ask(target, repeat(b"{}", 2), patience=0.2)
    assert (hung.status, hung.error) == (0, "no answer within 0.2 s")
    assert good.status == 200


async def test_a_late_answer_isnt_taken_for_the_next_one() -> None:
    given_up = asyncio.Event()

    async def serve(streams: Streams) -> None:
        reader, writer = streams
        first = b"first" in await reader.readuntil(b"}")
        if first:
            await given_up.wait()
        writer.write(whole(b"late" if first else b"in time"))

    def bodies() -> Iterator[bytes]:
        yield b"{first}"
        given_up.set()
        yield b"{}"

    async with serving(serve) as target:
        first, second = await ask(target, bodies(), patience=0.2)
    assert first.error
    assert second.body == b"in time"


async def test_a_dead_server_is_a_failure_for_every_request() -> None:
    async with stub() as (target, _):
        pass
    measured = await measure(target, repeat(b"{}", 3), candidates_check(K), connections=1, seconds=60)
    assert dict(measured.failures) == {"connection lost (ConnectionRefusedError)": 3}
    assert measured.per_second == 0


async def test_a_connection_that_the_server_closes_politely_is_opened_again() -> None:
    polite = answer("abc").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert await failures(polite, polite) == {}


async def test_each_body_is_sent_once_over_all_connections() -> None:
    bodies = [b"{%d}" % number for number in range(40)]
    async with stub() as (target, asked):
        answers = await ask(target, bodies, connections=8)
    assert sorted(asked) == sorted(bodies)
    assert [one.status for one in answers] == [200] * 40


async def test_one_connection_keeps_the_order_of_the_bodies() -> None:
    async with stub(answer("a"), answer("b"), answer("c")) as (target, asked):
        answers = await ask(target, [b"1", b"2", b"3"])
    assert asked == [b"1", b"2", b"3"]
    assert [orjson.loads(one.body)["candidates"][0]["id"] for one in answers] == ["a", "b", "c"]


async def test_requests_are_bounded_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_REQUESTS", 5)
    async with stub() as (target, asked):
        await ask(target, repeat(b"{}"), connections=2)
    assert len(asked) == 5


async def test_requests_are_bounded_by_time() -> None:
    async with stub() as (target, asked):
        await ask(target, repeat(b"{}"), connections=2, seconds=0)
    assert asked == []


def test_run_returns_what_the_load_returns() -> None:
    async def load_once() -> int:
        await asyncio.sleep(0)
        return 7

    assert load.run(load_once()) == 7
