"""Load on an HTTP server on this machine, closed loop: each connection asks again once it has its answer.

Knows HTTP/1.1 with keep-alive and Content-Length, nothing of the servers; what a good answer is, a check says. Answers
are checked after the clock has stopped, so that checking takes no core from the server. Runs in whatever process
calls it: let that be none that serves.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias, TypeVar

import numpy as np
import orjson
import uvloop
from numpy.typing import NDArray

MAX_REQUESTS = 30_000
"""Requests of one call at most: their answers are kept until they are checked, about 10 kB each."""

ANSWER_SECONDS = 10.0
"""How long an answer is waited for."""

_PAUSE_SECONDS = 0.02  # after a lost connection, so that a dead server isn't asked in a busy loop
_MAX_ANSWER_BYTES = 2**24

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go: a path that takes POST, on the loopback interface."""

    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request.

    Attributes:
        start: When the request's first byte was sent, by `time.perf_counter`.
        milliseconds: From the request's first byte to the answer's last.
        status: 0 where no whole answer came.
        body: What the server sent.
        error: Why no whole answer came; empty where one did.
    """

    start: float
    milliseconds: float
    status: int
    body: bytes = b""
    error: str = ""


Check: TypeAlias = Callable[[Answer], str | None]
"""Says why an answer is a failure; None where it is none. Only sees whole answers."""


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement.

    Attributes:
        milliseconds: Of the good answers, shape `(n,)`.
        seconds: From the first request to the last answer.
        failures: How often each reason occurred.
        generator_share: Of one core, what the generator itself used.
    """

    milliseconds: NDArray[np.float64]
    seconds: float
    failures: Counter[str]
    generator_share: float

    @property
    def requests(self) -> int:
        """How many were asked, good or not."""
        return len(self.milliseconds) + self.failures.total()

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, percent: float) -> float:
        """Returns a percentile of the good answers' milliseconds; NaN where there is none."""
        return float(np.percentile(self.milliseconds, percent)) if len(self.milliseconds) else float("nan")


def candidates_check(k: int, *, cache: str | None = None) -> Check:
    """Makes the check of POST /recall: a 200 with exactly k candidates of distinct ids.

    Args:
        k: How many candidates the answer must hold.
        cache: What the answer must say of the cache; None where it says nothing.
    """

    def failure(answer: Answer) -> str | None:
        if answer.status != 200:
            return f"status {answer.status}"
        try:
            content = orjson.loads(answer.body)
            ids = [candidate["id"] for candidate in content["candidates"]]
            distinct = len(set(ids))
        except (ValueError, KeyError, TypeError):
            return "no list of candidates"
        if len(ids) != k:
            return f"{len(ids)} candidates instead of {k}"
        if distinct != k:
            return f"{distinct} distinct ids instead of {k}"
        if cache is not None and content.get("cache") != cache:
            return f"cache {content.get('cache')!r} instead of {cache!r}"
        return None

    return failure


def status_check(answer: Answer) -> str | None:
    """Accepts any 200."""
    return None if answer.status == 200 else f"status {answer.status}"


def run(load: Coroutine[Any, Any, _T]) -> _T:
    """Runs load to its end on uvloop: with it the generator needs 15-40 % less of a core than with asyncio's loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load)


async def measure(target: Target, bodies: Iterable[bytes], check: Check, *, connections: int, seconds: float) -> Round:
    """Asks for some time over some connections, and judges the answers afterwards.

    Args:
        target: Who is asked.
        bodies: One a request, each sent once; where they end, so does the round.
        check: Says which whole answers are failures; one that is not whole always is.
        connections: How many ask at the same time.
        seconds: After so many no request is sent any more; at most `MAX_REQUESTS` are.
    """
    cpu, start = time.process_time(), time.perf_counter()
    answers = await ask(target, bodies, connections=connections, seconds=seconds)
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - start
    return judged(answers, check, seconds=elapsed, cpu_seconds=cpu)


def judged(answers: Sequence[Answer], check: Check, *, seconds: float, cpu_seconds: float) -> Round:
    """Returns answers as one measurement.

    Args:
        answers: As they came.
        check: Says which whole answers are failures; one that is not whole always is.
        seconds: From the first request to the last answer.
        cpu_seconds: What the generator used meanwhile.
    """
    reasons = [answer.error or check(answer) for answer in answers]
    good = [answer.milliseconds for answer, reason in zip(answers, reasons, strict=True) if reason is None]
    return Round(
        milliseconds=np.array(good, np.float64),
        seconds=seconds,
        failures=Counter(reason for reason in reasons if reason is not None),
        generator_share=cpu_seconds / seconds,
    )


async def ask(
    target: Target,
    bodies: Iterable[bytes],
    *,
    connections: int = 1,
    seconds: float = float("inf"),
    patience: float = ANSWER_SECONDS,
) -> list[Answer]:
    """Returns the answers as they come; with one connection that is the order of the bodies.

    Args:
        target: Who is asked.
        bodies: One a request, each sent once.
        connections: How many ask at the same time.
        seconds: After so many no request is sent any more; at most `MAX_REQUESTS` are.
        patience: Seconds that an answer is waited for.
    """
    answers: list[Answer] = []
    waiting = islice(bodies, MAX_REQUESTS)
    end = time.perf_counter() + seconds

    async def keep_asking() -> None:
        connection = Connection(target)
        try:
            for body in waiting:
                if time.perf_counter() >= end:
                    break
                answer = await connection.ask(body, patience)
                answers.append(answer)
                if answer.error:
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await connection.aclose()

    await asyncio.gather(*(keep_asking() for _ in range(connections)))
    return answers


class Connection:
    """One keep-alive connection; opens itself again after it was lost."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._head = (
            f"POST {target.path} HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes, patience: float) -> Answer:
        """Sends one body and waits for the answer, so many seconds at most."""
        start = time.perf_counter()
        status, content, error = 0, b"", ""
        try:
            async with asyncio.timeout(patience):
                status, content = await self._exchange(body)
        except TimeoutError:
            error = f"no answer within {patience:g} s"
        except (OSError, EOFError) as lost:
            error = f"connection lost ({type(lost).__name__})"
        except (ValueError, asyncio.LimitOverrunError):
            error = "not HTTP/1.1 with a Content-Length"
        if error:
            await self.aclose()  # what may still come on it would be taken for the next answer
        return Answer(start, 1e3 * (time.perf_counter() - start), status, content, error)

    async def aclose(self) -> None:
        """Closes it."""
        if self._streams is None:
            return
        _, writer = self._streams
        self._streams = None
        writer.close()
        with suppress(OSError):  # the server may have reset it
            await writer.wait_closed()

    async def _exchange(self, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._target.port)
        reader, writer = self._streams
        writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        content = await reader.readexactly(_content_length(head))
        if b"\r\nconnection: close\r\n" in head:
            await self.aclose()
        return int(head[len(b"http/1.1 ") :][:3]), content


def _content_length(head: bytes) -> int:
    _, found, rest = head.partition(b"\r\ncontent-length:")
    length = int(rest.partition(b"\r\n")[0]) if found else -1
    if not 0 <= length <= _MAX_ANSWER_BYTES:
        raise ValueError(f"content-length {length}")
    return length
