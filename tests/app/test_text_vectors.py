"""Texts to vectors: every text encoded once, the same answer from every cache, no more waiting than allowed."""

import asyncio
import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import EncoderError, OverloadedError
from tests.app import caches, text_encoding
from tests.app.text_encoding import DIM, Encoder, redis_of, texts_of, until_encoding

server, encoder = caches.server, text_encoding.encoder


# Answers


async def test_a_miss_a_memory_hit_a_redis_hit_and_no_cache_agree_to_the_last_bit(server, encoder):
    asked = ["a", "b", "c"]
    async with redis_of(server.url) as remote:
        async with texts_of(encoder, remote=remote) as texts:
            missed = await texts.get(asked)
            remembered = await texts.get(asked)
        async with texts_of(encoder, remote=remote) as other_process:
            from_redis = await other_process.get(asked)
    async with texts_of(Encoder(), max_entries=0) as uncached:
        computed = await uncached.get(asked)
    answers = [missed, remembered, from_redis, computed]
    assert [answer.cache for answer in answers] == ["miss", "hit", "hit", "off"]
    expected = np.stack([encoder.rounded(text) for text in asked])
    for answer in answers:
        assert answer.vectors.dtype == np.float32
        assert answer.vectors.tobytes() == expected.tobytes()
        assert answer.degraded == ()
    assert encoder.calls == {"a": 1, "b": 1, "c": 1}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), min_size=1, max_size=5), st.integers(0, 10))
def test_rows_follow_the_texts_whatever_repeats_or_is_forgotten(calls, max_entries):
    encoder = Encoder()

    async def run() -> None:
        async with texts_of(encoder, max_entries=max_entries) as texts:
            answers = await asyncio.gather(*(texts.get(asked) for asked in calls))
        for asked, answer in zip(calls, answers, strict=True):
            assert answer.vectors.shape == (len(asked), DIM)
            for text, vector in zip(asked, answer.vectors, strict=True):
                assert vector.tobytes() == encoder.rounded(text).tobytes()

    asyncio.run(run())
    assert all(n == 1 for n in encoder.calls.values())


async def test_cache_says_hit_partial_miss_by_distinct_texts(encoder):
    async with texts_of(encoder) as texts:
        assert (await texts.get(["a", "a"])).cache == "miss"
        assert (await texts.get(["a", "b"])).cache == "partial"
        assert (await texts.get(["b", "a", "b"])).cache == "hit"
        assert (await texts.get([])).cache == "hit"


async def test_another_namespace_shares_nothing(server, encoder):
    async with redis_of(server.url) as remote:
        async with texts_of(encoder, remote=remote, namespace="one") as texts:
            await texts.get(["a"])
        async with texts_of(encoder, remote=remote, namespace="two") as texts:
            assert (await texts.get(["a"])).cache == "miss"
    assert encoder.calls["a"] == 2


async def test_truncation_is_remembered_with_the_vector(server, encoder):
    async with redis_of(server.url) as remote:
        async with texts_of(encoder, remote=remote) as texts:
            assert (await texts.get(["short", "long…"])).truncated
            assert (await texts.get(["long…"])).truncated
            assert not (await texts.get(["short"])).truncated
        async with texts_of(encoder, remote=remote) as texts:
            assert (await texts.get(["long…"])).truncated
            assert not (await texts.get(["short"])).truncated
    assert encoder.calls.total() == 2


async def test_an_answer_can_be_written_to_without_harm(encoder):
    async with texts_of(encoder) as texts:
        (await texts.get(["a"])).vectors[:] = 0
        assert (await texts.get(["a"])).vectors[0].tobytes() == encoder.rounded("a").tobytes()


# One flight a text


@pytest.mark.parametrize("kind", ["memory", "off", pytest.param("redis", marks=pytest.mark.redis)])
async def test_the_same_text_100_times_at_once_is_encoded_once(kind, request, encoder):
    async with contextlib.AsyncExitStack() as stack:
        remote = None
        if kind == "redis":
            remote = await stack.enter_async_context(redis_of(request.getfixturevalue("server").url))
        max_entries = 0 if kind == "off" else 1000
        texts = await stack.enter_async_context(texts_of(encoder, remote=remote, max_entries=max_entries))
        answers = await asyncio.gather(*(texts.get(["same", "same"]) for _ in range(100)))
    assert encoder.calls == {"same": 1}
    assert {answer.vectors.tobytes() for answer in answers} == {np.tile(encoder.rounded("same"), 2).tobytes()}


async def test_who_encodes_is_told_whether_a_text_comes_by_itself(encoder):
    """Such a one may have all cores; beside others it has its own."""
    async with texts_of(encoder) as texts:
        told, plain = {}, texts._begin
        texts._begin = lambda text, by_itself: (told.update({text: by_itself}), plain(text, by_itself))[1]
        await texts.get(["tea"])
        await texts.get(["tea", "coffee"])
        await texts.get(["milk", "sugar"])
        encoder.gate.clear()
        first = asyncio.create_task(texts.get(["water"]))
        await until_encoding(encoder, 5)
        second = asyncio.create_task(texts.get(["juice"]))
        await asyncio.sleep(0)
        encoder.gate.set()
        await asyncio.gather(first, second)
    assert told == {"tea": True, "coffee": True, "milk": False, "sugar": False, "water": True, "juice": False}


async def test_a_cancelled_first_caller_harms_nobody(encoder):
    async with texts_of(encoder) as texts:
        encoder.gate.clear()
        leader = asyncio.create_task(texts.get(["a"]))
        await until_encoding(encoder, 1)
        follower = asyncio.create_task(texts.get(["a", "b"]))
        await asyncio.sleep(0)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        encoder.gate.set()
        answer = await follower
    assert answer.vectors[0].tobytes() == encoder.rounded("a").tobytes()
    assert encoder.calls == {"a": 1, "b": 1}


async def test_what_nobody_waits_for_any_more_is_still_remembered(encoder):
    async with texts_of(encoder) as texts:
        encoder.gate.clear()
        call = asyncio.create_task(texts.get(["a"]))
        await until_encoding(encoder, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        encoder.gate.set()
        await texts.aclose()
        assert (await texts.get(["a"])).cache == "hit"


async def test_an_error_reaches_every_waiter_and_is_not_remembered(encoder):
    async with texts_of(encoder) as texts:
        encoder.gate.clear()
        encoder.failure = EncoderError("the device is gone")
        calls = [asyncio.create_task(texts.get(["a"])) for _ in range(10)]
        await until_encoding(encoder, 1)
        encoder.gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, EncoderError) for result in results)
        assert encoder.calls["a"] == 1
        encoder.failure = None
        assert (await texts.get(["a"])).cache == "miss"
    assert encoder.calls["a"] == 2


@pytest.mark.parametrize(
    "vector",
    [
        np.full(DIM, np.nan, dtype=np.float32),
        np.full(DIM, 1e30, dtype=np.float32),
        np.zeros(DIM, dtype=np.float32),
        np.eye(DIM, dtype=np.float32)[0] * 1.1,
        np.eye(DIM + 1, dtype=np.float32)[0],
        np.eye(DIM, dtype=np.float32)[:1],
    ],
    ids=["NaN", "overflow", "zero", "too long", "other dimension", "matrix"],
)
async def test_no_unit_vector_is_an_error_and_not_remembered(vector, encoder):
    async with texts_of(encoder) as texts:
        encoder.bad_vector = vector
        with pytest.raises(EncoderError, match="length"):
            await texts.get(["a"])
        encoder.bad_vector = None
        assert (await texts.get(["a"])).cache == "miss"


# Overload


async def test_above_max_waiting_is_refused_at_once_and_starts_nothing(encoder):
    async with texts_of(encoder, max_waiting=3) as texts:
        await texts.get(["known"])
        encoder.gate.clear()
        waiting = [asyncio.create_task(texts.get([text])) for text in "ab"]
        await until_encoding(encoder, 3)
        with pytest.raises(OverloadedError, match="2 texts wait for encoding and this request brings 2 more"):
            await texts.get(["c", "d"])
        assert (await texts.get(["known"])).cache == "hit"
        waiting += [asyncio.create_task(texts.get(asked)) for asked in (["a", "b"], ["b", "e", "known"])]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="3 may wait"):
            await texts.get(["f"])
        encoder.gate.set()
        await asyncio.gather(*waiting)
        assert set(encoder.calls) == {"known", "a", "b", "e"}
        await texts.get(["c", "d"])


async def test_whatever_class_a_failure_is_of_it_reaches_those_who_wait(encoder):
    """A panic in Rust, say, is no Exception; nobody may wait for it for ever."""

    class Panic(BaseException):
        pass

    async with texts_of(encoder) as texts:
        encoder.failure = Panic()
        for found in await asyncio.gather(*(texts.get(["a"]) for _ in range(2)), return_exceptions=True):
            assert isinstance(found, Panic)
        encoder.failure = None
        assert (await texts.get(["a"])).cache == "miss"


async def test_failures_give_their_places_back(encoder):
    async with texts_of(encoder, max_waiting=1) as texts:
        encoder.failure = EncoderError("broken")
        for n in range(3):
            with pytest.raises(EncoderError):
                await texts.get([str(n)])
        encoder.failure = None
        await texts.get(["a"])
