"""Texts to vectors over a Redis that is asked seldom and, when it is ill, only costs hits."""

import asyncio

import numpy as np
import pytest

from app.cache import cache_key
from app.text_vectors import TextVectors, TextVectorsAnswer
from tests.app import caches, text_encoding
from tests.app.caches import SHORT
from tests.app.text_encoding import DIM, redis_of, texts_of, until_encoding
from tests.redis_server import RedisServer

server, encoder = caches.server, text_encoding.encoder


async def until_healthy(texts: TextVectors, asked: list[str]) -> TextVectorsAnswer:
    """Asks until nothing is degraded; pytest's time-out is the limit."""
    while (answer := await texts.get(asked)).degraded:
        await asyncio.sleep(0.005)
    return answer


@pytest.mark.redis
async def test_down_at_start_answers_degraded_and_recovers(tmp_path, encoder):
    server = RedisServer(tmp_path)
    async with redis_of(server.url) as remote, texts_of(encoder, remote=remote) as texts:
        for n in range(10):
            answer = await texts.get([str(n)])
            assert answer.degraded == ("cache",)
            assert answer.vectors[0].tobytes() == encoder.rounded(str(n)).tobytes()
        with server:
            await until_healthy(texts, ["a"])
            await texts.get(["b"])
            await texts.aclose()
            assert server.command("EXISTS", b"recall:v1:" + cache_key("space", "b")) == 1


@pytest.mark.redis
async def test_killed_under_load_fails_no_call_and_recovers_by_memory_hits_alone(server, encoder):
    async with redis_of(server.url) as remote, texts_of(encoder, remote=remote) as texts:

        async def load(worker: int) -> None:
            for n in range(40):
                text = f"{worker} {n}"
                answer = await texts.get([text])
                assert answer.vectors[0].tobytes() == encoder.rounded(text).tobytes()

        workers = [asyncio.create_task(load(worker)) for worker in range(4)]
        await until_encoding(encoder, 20)
        server.stop()
        await asyncio.gather(*workers)
        assert (await texts.get(["0 0"])).degraded == ("cache",)
        server.start()
        answer = await until_healthy(texts, ["0 0"])
        assert answer.cache == "hit"
        await texts.aclose()
        # The restarted server was empty: what is in use is there again.
        assert server.command("EXISTS", b"recall:v1:" + cache_key("space", "0 0")) == 1


@pytest.mark.redis
async def test_hung_answers_degraded_and_recovers(server, encoder):
    async with (
        redis_of(server.url, timeout_seconds=SHORT) as remote,
        texts_of(encoder, remote=remote) as texts,
    ):
        await until_healthy(texts, ["a"])
        server.pause()
        answers = await asyncio.gather(*(texts.get([f"{n % 20}"]) for n in range(100)))
        assert {answer.degraded for answer in answers} == {("cache",)}
        assert all(n == 1 for n in encoder.calls.values())
        server.resume()
        answer = await until_healthy(texts, ["0", "1"])
        expected = np.stack([encoder.rounded("0"), encoder.rounded("1")])
        assert answer.vectors.tobytes() == expected.tobytes()


@pytest.mark.redis
async def test_full_answers_degraded_from_the_next_call_and_recovers(server, encoder):
    async with redis_of(server.url) as remote, texts_of(encoder, remote=remote) as texts:
        await texts.get(["a"])
        await texts.aclose()
        server.fill()
        await texts.get(["b"])
        await texts.aclose()
        for asked in (["a"], ["b"], ["c"]):
            assert (await texts.get(asked)).degraded == ("cache",)
        server.unfill()
        await until_healthy(texts, ["b"])


@pytest.mark.redis
async def test_garbage_is_encoded_again_and_mended(server, encoder):
    server.command("SET", b"recall:v1:" + cache_key("space", "a"), b"\xff" * (2 * DIM + 1))
    async with redis_of(server.url) as remote, texts_of(encoder, remote=remote) as texts:
        answer = await texts.get(["a"])
        assert (answer.cache, answer.degraded) == ("miss", ())
        assert answer.vectors[0].tobytes() == encoder.rounded("a").tobytes()
        async with texts_of(encoder, remote=remote) as other_process:
            await texts.aclose()
            assert (await other_process.get(["a"])).cache == "hit"


@pytest.mark.redis
async def test_one_round_trip_a_call_and_none_for_what_memory_knows(server, encoder):
    async with redis_of(server.url) as remote, texts_of(encoder, remote=remote) as texts:
        await texts.get(["a", "b", "c"])
        await texts.get(["c", "b", "a"])
        assert server.calls("mget") == 1
        await texts.get(["a", "d"])
        assert server.calls("mget") == 2
        await texts.aclose()
        async with texts_of(encoder, remote=remote) as other_process:
            await other_process.get(["a"])
            await other_process.get(["a"])
        assert server.calls("mget") == 3
