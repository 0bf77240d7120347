"""The service put together, with a real Redis that is shared, killed, hung, filled and brought back."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.factory import create_app
from app.pipeline import RecallPipeline
from app.settings import ServiceSettings
from models.errors import ArtifactMissingError
from models.item_index import ItemIndex
from models.recaller import Pool, Recaller, UserQuery
from tests.app.harness import running, serving
from tests.fakes import FakeEncoder, load_fake
from tests.redis_server import RedisServer

# No test here is about a Redis that is merely slow; a busy machine must not look like one.
PATIENT = {"redis_timeout_ms": 5_000}
redis = pytest.mark.redis


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


async def ask(client: httpx.AsyncClient, text: str | list[str], **body: Any) -> dict[str, Any]:
    response = await client.post("/recall", json={"text": text, "k": 5, **body})
    assert response.status_code == 200, response.text
    return response.json()


async def until(happens: Callable[[], Awaitable[bool]]) -> None:
    """Waits; pytest's time-out is the limit."""
    while not await happens():
        await asyncio.sleep(0.02)


async def redis_state(client: httpx.AsyncClient) -> tuple[str, float]:
    """Returns what /info and /metrics say of Redis."""
    info, metrics = await client.get("/info"), await client.get("/metrics")
    (line,) = [line for line in metrics.text.splitlines() if line.startswith("recall_redis_up ")]
    return info.json()["cache"]["redis"], float(line.split()[1])


# Start and stop


def test_an_app_does_nothing_before_it_starts(tmp_path):
    """Its artifact is opened by the lifespan, so that an import can't fail for it."""
    assert isinstance(create_app(ServiceSettings(artifacts=tmp_path)), FastAPI)


async def test_an_app_without_an_engine_opens_the_live_artifact_and_refuses_a_missing_one(tmp_path):
    app = create_app(ServiceSettings(artifacts=tmp_path))
    with pytest.raises(ArtifactMissingError):
        async with running(app):
            pass


async def test_an_app_starts_again_after_it_stopped(store):
    app = create_app(ServiceSettings(threads=1, artifacts=store.root), load=load_fake)
    for _ in range(2):
        async with running(app) as client:
            assert (await ask(client, "boots"))["cache"] == "miss"
        assert app.state.pipelines._threads.encoding._shutdown


async def test_stopping_waits_for_what_nobody_waits_for_any_more(engine, encoder):
    encoder.gate.clear()
    app = create_app(ServiceSettings(threads=1), engine=replace(engine, encoder=encoder))
    async with running(app) as client:
        late = await client.post("/recall", json={"text": "boots", "timeout_ms": 10})
        assert late.status_code == 504
        vectors = app.state.swapper.pipeline.vectors
        assert vectors._flights
        asyncio.get_running_loop().call_later(0.05, encoder.gate.set)
    assert not vectors._flights
    assert encoder.encoded == ["boots"]


async def test_settings_reach_their_places(engine, server, slow_searches):
    settings = ServiceSettings(
        threads=3, cache_entries=7, max_waiting_texts=9, redis_url=server.url, redis_timeout_ms=1234
    )
    app = create_app(settings, engine=engine)
    async with running(app):
        pipeline = app.state.swapper.pipeline
        assert isinstance(pipeline, RecallPipeline)
        threads = app.state.pipelines._threads
        assert threads.encoding._max_workers == 4  # of inferences, one more than cores
        assert threads.searching._max_workers == 1  # of searches, half as many
        assert threads.native_encoding._threads.n == threads.native_searching._threads.n == 3
        assert app.state.pipelines.redis(engine)._timeout_seconds == 1.234
        assert pipeline.vectors._memory.max_entries == 7
        assert pipeline.vectors._max_waiting == 9


@pytest.mark.parametrize("quick", [True, False])
async def test_only_searches_that_take_their_time_have_threads(engine, monkeypatch, quick):
    monkeypatch.setattr(ItemIndex, "is_quick", quick)
    threads = []

    class Noting(Recaller):
        def search(self, query: UserQuery, *, size: int) -> Pool:
            threads.append(threading.current_thread())
            return super().search(query, size=size)

    async with running(
        create_app(ServiceSettings(), engine=replace(engine, recaller=Noting(engine.artifact)))
    ) as client:
        await ask(client, "sturdy boots")
        await ask(client, "sturdy boots", k=300)
        await ask(client, "sturdy boots", history=["hike-boots", "hike-map"] * 60)
        batch = await client.post("/recall/batch", json={"requests": [{"text": "sturdy boots"}] * 2})
    assert all(answer["candidates"] for answer in batch.json()["responses"])
    here = [thread is threading.current_thread() for thread in threads]
    assert here == [quick, False, False, False, False]  # many candidates, a long history and batches are never short


# With a Redis


@redis
async def test_vectors_are_shared_by_two_services_and_the_answers_are_the_same(engine, server):
    first, second = FakeEncoder(), FakeEncoder()
    async with serving(engine, first, redis_url=server.url, **PATIENT) as client:
        miss = await ask(client, "boots and tents")
        hit = await ask(client, "boots and tents")
    async with serving(engine, second, redis_url=server.url, **PATIENT) as client:
        shared = await ask(client, "boots and tents")
        partial = await ask(client, ["boots and tents", "never asked before"])
    assert [answer["cache"] for answer in (miss, hit, shared, partial)] == ["miss", "hit", "hit", "partial"]
    assert miss["candidates"] == hit["candidates"] == shared["candidates"]
    assert second.encoded == ["never asked before"]
    assert not any(answer["degraded"] for answer in (miss, hit, shared, partial))


@redis
async def test_a_cut_text_says_so_from_redis_too(engine, server):
    for _ in range(2):
        async with serving(engine, redis_url=server.url, **PATIENT) as client:
            assert (await ask(client, "boots " * 300))["degraded"] == ["text_truncated"]


@redis
async def test_an_artifact_of_another_encoder_reads_none_of_its_vectors(engine, plain_engine, server):
    """The two share an encoder, so they do share; a fingerprint apart they don't."""
    manifest = plain_engine.artifact.manifest
    assert manifest.encoder.fingerprint == engine.artifact.manifest.encoder.fingerprint
    async with serving(engine, redis_url=server.url, **PATIENT) as client:
        await ask(client, "boots")
    async with serving(plain_engine, redis_url=server.url, **PATIENT) as client:
        assert (await ask(client, "boots"))["cache"] == "hit"
    object.__setattr__(manifest.encoder, "fingerprint", "another")
    try:
        async with serving(plain_engine, redis_url=server.url, **PATIENT) as client:
            assert (await ask(client, "boots"))["cache"] == "miss"
    finally:
        object.__setattr__(manifest.encoder, "fingerprint", engine.artifact.manifest.encoder.fingerprint)


@redis
async def test_entries_are_forgotten_in_time_and_hold_no_text(engine, server):
    async with serving(engine, redis_url=server.url, cache_ttl_seconds=1000, **PATIENT) as client:
        await ask(client, "xyzzy")
    (key,) = server.command("KEYS", "*")
    assert 0 < server.command("TTL", key) <= 1000
    assert b"xyzzy" not in key + server.command("GET", key)


@redis
async def test_redis_killed_under_load_fails_no_request_and_is_used_again(engine, server):
    async with serving(engine, redis_url=server.url, cache_entries=0, **PATIENT) as client:
        answers: list[dict[str, Any]] = []
        stop = asyncio.Event()

        async def load(worker: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                texts = [f"text {number % 5}", f"worker {worker} text {number}"]
                answers.append(await ask(client, texts))

        workers = [asyncio.create_task(load(worker)) for worker in range(8)]

        async def answered(n_more: int) -> None:
            goal = len(answers) + n_more

            async def enough() -> bool:
                return len(answers) >= goal

            await until(enough)

        await answered(40)
        assert not any(answer["degraded"] for answer in answers)
        server.stop()
        await answered(16)  # those that were under way
        down = len(answers)
        await answered(100)
        assert {tuple(answer["degraded"]) for answer in answers[down:]} == {("cache",)}
        assert (await client.get("/readyz")).status_code == 200
        assert await redis_state(client) == ("down", 0.0)
        server.start()

        async def healthy() -> bool:
            return not answers[-1]["degraded"]

        await until(healthy)
        await answered(40)
        assert not any(answer["degraded"] for answer in answers[-20:])
        assert await redis_state(client) == ("up", 1.0)
        stop.set()
        await asyncio.gather(*workers)
    assert all(len(answer["candidates"]) == 5 for answer in answers)


@redis
async def test_a_hung_redis_costs_its_timeout_and_nothing_else(engine, server):
    async with serving(engine, redis_url=server.url, redis_timeout_ms=50) as client:
        server.pause()
        assert (await ask(client, "boots"))["degraded"] == ["cache"]
        assert (await client.get("/readyz")).status_code == 200
        server.resume()
        # Memory knows the text by now, but says that Redis isn't well until it is.

        async def healthy() -> bool:
            return not (await ask(client, "boots"))["degraded"]

        await until(healthy)


@redis
async def test_a_full_redis_is_degraded_and_readable(engine, server):
    async with serving(engine, redis_url=server.url, **PATIENT) as client:
        await ask(client, "kept before")
        server.fill()

        async def degraded() -> bool:
            return (await ask(client, "not kept"))["degraded"] == ["cache"]

        await until(degraded)
        assert (await redis_state(client))[0] == "down"
        server.unfill()

        async def healthy() -> bool:
            return not (await ask(client, "not kept"))["degraded"]

        await until(healthy)


async def test_a_redis_that_never_was_there_is_degraded_from_the_start(engine, tmp_path):
    url = RedisServer(tmp_path).url  # its port is free
    async with serving(engine, redis_url=url, **PATIENT) as client:
        answers = [await ask(client, text) for text in ("boots", "boots", ["boots", "tents"])]
        assert [answer["degraded"] for answer in answers] == [["cache"]] * 3
        assert [answer["cache"] for answer in answers] == ["miss", "hit", "partial"]
        unasked = await client.post("/recall", json={"history": ["hike-map"]})
        assert unasked.json()["degraded"] == []  # it needed no cache
        assert await redis_state(client) == ("down", 0.0)


async def test_without_redis_info_says_so(client):
    assert (await client.get("/info")).json()["cache"]["redis"] == "off"
