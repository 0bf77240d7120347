"""What a request does when its time is up, stage by stage."""

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

import uvloop

from app import clock as deadlines
from models.errors import DeadlineExceededError
from models.recaller import Pool, Recaller, UserQuery
from tests.app.harness import ask, assert_problem, core, ids, serving

TEXT = "sturdy boots for mountain trails"


async def test_a_deadline_that_is_far_away_changes_nothing(client):
    patient = await ask(client, text=TEXT, timeout_ms=1e9)
    assert core(patient) == core(await ask(client, text=TEXT))
    assert (await ask(client, text=TEXT, timeout_ms=1e300))["degraded"] == []


async def test_time_that_is_up_while_encoding_is_a_504_and_the_vector_is_kept(moody, encoder):
    encoder.gate.clear()
    response = await moody.post("/recall", json={"text": TEXT, "timeout_ms": 20})
    assert_problem(response, 504, "deadline_exceeded")
    encoder.gate.set()
    answer = await ask(moody, text=TEXT)
    assert encoder.encoded == [TEXT]
    assert answer["degraded"] == []


async def test_time_that_is_up_while_waiting_for_a_thread_is_a_504_at_once(engine, slow_searches):
    """The only thread that searches is busy; whoever has a deadline doesn't wait for it."""
    busy, gate = threading.Event(), threading.Event()

    class HeldUp(Recaller):
        def search(self, query: UserQuery, *, size: int) -> Pool:
            busy.set()
            assert gate.wait(10)
            return super().search(query, size=size)

    async with serving(replace(engine, recaller=HeldUp(engine.artifact)), threads=1) as client:
        slow = asyncio.create_task(ask(client, text=TEXT))
        while not busy.is_set():
            await asyncio.sleep(0.001)
        response = await client.post("/recall", json={"history": ["hike-boots"], "timeout_ms": 20})
        assert_problem(response, 504, "deadline_exceeded")
        assert not slow.done()
        gate.set()
        assert (await slow)["fallback"] is None


async def test_a_history_alone_is_answered_while_the_encoder_is_busy(moody, encoder):
    encoder.gate.clear()
    slow = asyncio.create_task(ask(moody, text=TEXT))
    while not encoder.encoded:
        await asyncio.sleep(0.001)
    assert (await ask(moody, history=["hike-boots"]))["candidates"]
    assert not slow.done()
    encoder.gate.set()
    await slow


async def test_time_that_is_up_after_the_search_skips_the_head(engine, monkeypatch):
    clock = _Clock()

    class SlowRecaller(Recaller):
        def search(self, query: UserQuery, *, size: int) -> Pool:
            pool = super().search(query, size=size)
            clock.skew += 60
            return pool

    monkeypatch.setattr(deadlines, "time", clock)
    async with serving(replace(engine, recaller=SlowRecaller(engine.artifact))) as client:

        async def hurry(**body: Any) -> dict[str, Any]:
            clock.skew = 0.0
            return await ask(client, k=7, **body)

        late = await hurry(text=TEXT, timeout_ms=30_000)
        unhurried = await hurry(text=TEXT)
        unscored = await hurry(text=TEXT, timeout_ms=30_000, rescore=False)
        popular = await hurry(timeout_ms=30_000)
    assert late["degraded"] == ["rescore_skipped"]
    assert late["candidates"] == unscored["candidates"]
    assert ids(late) == ids(unhurried)
    assert all(candidate["relation_score"] is None for candidate in late["candidates"])
    assert late["timings_ms"]["rescore"] == 0
    assert (unhurried["degraded"], unscored["degraded"]) == ([], [])
    assert len(ids(popular)) == 7


async def test_time_that_is_up_before_the_search_is_a_504(engine, monkeypatch):
    clock = _Clock()
    clock.skew = 60.0  # a request's start is read from the true clock
    monkeypatch.setattr(deadlines, "time", clock)
    async with serving(engine) as client:
        for body in ({"history": ["hike-boots"]}, {"text": TEXT}, {}):
            response = await client.post("/recall", json={**body, "timeout_ms": 1})
            assert_problem(response, 504, "deadline_exceeded")


def test_a_timer_that_runs_ahead_of_the_clock_is_a_504_all_the_same(engine, encoder):
    """The timers of uvloop are rounded to milliseconds, so they may ring before the deadline."""
    encoder.gate.clear()

    async def hurry() -> set[int]:
        async with serving(engine, encoder, threads=1) as client:
            statuses = set()
            for number in range(60):  # one by one: on a busy loop every timer is late
                response = await client.post("/recall", json={"text": TEXT, "timeout_ms": 2 + number / 20})
                statuses.add(response.status_code)
            encoder.gate.set()
            return statuses

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(hurry()) == {504}


async def test_a_timeout_that_is_not_the_deadlines_is_not_taken_for_it(moody, encoder):
    encoder.failure = lambda text: TimeoutError("the encoder's own")
    for timeout_ms in (None, 60_000):
        response = await moody.post("/recall", json={"text": TEXT, "timeout_ms": timeout_ms})
        assert_problem(response, 500, "internal")


async def test_one_who_is_late_holds_up_nobody_else(moody, encoder):
    encoder.gate.clear()
    late = [asyncio.create_task(moody.post("/recall", json={"text": f"{TEXT} {n}", "timeout_ms": 20})) for n in (1, 2)]
    for response in await asyncio.gather(*late):
        assert DeadlineExceededError.__name__ not in response.text
        assert response.status_code == 504
    encoder.gate.set()
    assert ids(await ask(moody, text=TEXT, k=1)) == ["hike-boots"]


class _Clock:
    """Stands in for the module `time`, and can be moved on."""

    skew = 0.0

    def perf_counter(self) -> float:
        return time.perf_counter() + self.skew
