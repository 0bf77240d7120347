"""Load that doesn't wait for answers: requests come when they come, as users do, whether the server keeps up or not.

A closed loop hides what waiting costs: a slow answer makes its asker ask later. Here a request's time runs from when it
was due.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.load import ANSWER_SECONDS, Answer, Check, Connection, Round, Target, judged


async def measure_open(
    target: Target, bodies: Iterator[bytes], check: Check, *, per_second: float, seconds: float, seed: int = 0
) -> Round:
    """Asks at a rate, with exponential gaps (a Poisson process), and judges the answers afterwards.

    Args:
        target: Who is asked.
        bodies: One a request; they mustn't end.
        check: Says which whole answers are failures.
        per_second: Requests a second, on average.
        seconds: After so many no request is sent any more.
        seed: Of the gaps.
    """
    gaps = np.random.default_rng(seed).exponential(1 / per_second, size=int(2 * per_second * seconds) + 10)
    due_after = [due for due in np.cumsum(gaps).tolist() if due < seconds]
    idle: list[Connection] = []
    answers: list[Answer] = []

    async def one(due: float, body: bytes) -> None:
        connection = idle.pop() if idle else Connection(target)
        answer = await connection.ask(body, ANSWER_SECONDS)
        answers.append(replace(answer, start=due, milliseconds=1e3 * (time.perf_counter() - due)))
        idle.append(connection)

    cpu, start = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as asking:
        for due in due_after:
            if (early := start + due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            asking.create_task(one(start + due, next(bodies)))
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - start
    for connection in idle:
        await connection.aclose()
    return judged(answers, check, seconds=elapsed, cpu_seconds=cpu)
