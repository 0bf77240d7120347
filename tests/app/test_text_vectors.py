"""Texts to vectors: every text encoded once, the same answer from every cache, an ill Redis only costing hits."""

import asyncio
import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.breaker import Breaker
from app.cache import MemoryCache, RedisCache, cache_key
from app.text_vectors import TextVectors, TextVectorsAnswer
from models.errors import EncoderError, OverloadedError
from models.types import Vector
from tests.redis_server import RedisServer

DIM = 24
LONG = 20.0  # seconds that an answer which comes may take on a busy machine
SHORT = 0.05  # seconds given to an answer that doesn't come


class Encoder:
    """Gives each text its own vector, counts, waits at a gate, fails on demand; a text ending in … is cut."""

    def __init__(self) -> None:
        self._asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.bad_vector: Vector | None = None

    @property
    def calls(self) -> Counter[str]:
        """How often each text was encoded."""
        return Counter(list(self._asked))  # a copy: the threads go on

    def __call__(self, text: str) -> tuple[Vector, bool]:
        """Runs in the executor's threads."""
        self._asked.append(text)
        assert self.gate.wait(LONG)
        if self.failure is not None:
            raise self.failure
        if self.bad_vector is not None:
            return self.bad_vector, False
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        vector = np.random.default_rng(seed).standard_normal(DIM)
        return (vector / np.linalg.norm(vector)).astype(np.float32), text.endswith("…")

    def rounded(self, text: str) -> Vector:
        """What every answer must hold for this text, to the last digit."""
        return Encoder()(text)[0].astype(np.float16).astype(np.float32)


@pytest.fixture
def encoder() -> Iterator[Encoder]:
    encoder = Encoder()
    yield encoder
    encoder.gate.set()


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@asynccontextmanager
async def texts_of(
    encoder: Encoder,
    *,
    remote: RedisCache | None = None,
    max_entries: int = 1000,
    max_waiting: int = 1000,
    namespace: str = "space",
) -> AsyncIterator[TextVectors]:
    with ThreadPoolExecutor(2) as executor:
        texts = TextVectors(
            encoder,
            namespace=namespace,
            dim=DIM,
            executor=executor,
            memory=MemoryCache(max_entries),
            remote=remote,
            max_waiting=max_waiting,
        )
        try:
            yield texts
        finally:
            encoder.gate.set()
            await texts.aclose()


@asynccontextmanager
async def redis_of(url: str, *, timeout_seconds: float = LONG, breaker: Breaker | None = None):
    breaker = breaker or Breaker(5, 0.01)
    cache = RedisCache(url, dim=DIM, ttl_seconds=60, timeout_seconds=timeout_seconds, breaker=breaker)
    async with aclosing(cache):
        yield cache


async def until_encoding(encoder: Encoder, n_calls: int) -> None:
    while encoder.calls.total() < n_calls:
        await asyncio.sleep(0.001)


async def until_healthy(texts: TextVectors, asked: list[str]) -> TextVectorsAnswer:
    """Asks until nothing is degraded; pytest's time-out is the limit."""
    while (answer := await texts.get(asked)).degraded:
        await asyncio.sleep(0.005)
    return answer


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


async def test_failures_give_their_places_back(encoder):
    async with texts_of(encoder, max_waiting=1) as texts:
        encoder.failure = EncoderError("broken")
        for n in range(3):
            with pytest.raises(EncoderError):
                await texts.get([str(n)])
        encoder.failure = None
        await texts.get(["a"])


# An ill Redis


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


# Order of events, with a peer that knows no key and answers when told


@asynccontextmanager
async def forgetful_peer(
    willing: Callable[[bytes], Awaitable[bool]],
) -> AsyncIterator[tuple[RedisCache, Counter[bytes]]]:
    """Gives a client of the peer, and what the peer answered; where `willing(command)` is false it hangs up."""
    answered: Counter[bytes] = Counter()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            if not await willing(words[0]):
                break
            n_keys = len(words) - 1
            writer.write(b"*%d\r\n" % n_keys + b"$-1\r\n" * n_keys if words[0] == b"MGET" else b"+OK\r\n")
            answered[words[0]] += 1
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, redis_of(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as remote:
        yield remote, answered


async def test_what_another_call_encoded_while_redis_was_asked_is_not_encoded_again(encoder):
    n_reads = 0
    releases = [asyncio.Event(), asyncio.Event()]

    async def hold_reads(command: bytes) -> bool:
        nonlocal n_reads
        if command != b"MGET":
            return True
        n_reads += 1
        return await releases[n_reads - 1].wait()

    async def until_reading(n: int) -> None:
        while n_reads < n:
            await asyncio.sleep(0.001)

    async with forgetful_peer(hold_reads) as (remote, _), texts_of(encoder, remote=remote) as texts:
        first = asyncio.create_task(texts.get(["a"]))
        await until_reading(1)
        second = asyncio.create_task(texts.get(["a"]))
        await asyncio.sleep(0)
        releases[0].set()
        await until_reading(2)
        answer = await first
        assert not second.done()
        releases[1].set()
        assert (await second).vectors.tobytes() == answer.vectors.tobytes()
    assert encoder.calls == {"a": 1}


async def test_a_call_whose_own_read_failed_is_degraded_though_redis_is_back_since(encoder):
    n_reads = 0

    async def hang_up_on_the_first_read(command: bytes) -> bool:
        nonlocal n_reads
        n_reads += command == b"MGET"
        return n_reads != 1

    async with forgetful_peer(hang_up_on_the_first_read) as (remote, _), texts_of(encoder, remote=remote) as texts:
        encoder.gate.clear()
        unlucky = asyncio.create_task(texts.get(["a"]))
        await until_encoding(encoder, 1)
        lucky = asyncio.create_task(texts.get(["b"]))
        await until_encoding(encoder, 2)
        assert remote.available
        encoder.gate.set()
        assert (await unlucky).degraded == ("cache",)
        assert (await lucky).degraded == ()


async def test_answers_do_not_wait_for_writes_and_aclose_does(encoder):
    release = asyncio.Event()

    async def hold_writes(command: bytes) -> bool:
        return command != b"SET" or await release.wait()

    async with forgetful_peer(hold_writes) as (remote, answered):
        async with texts_of(encoder, remote=remote) as texts:
            for n in range(5):
                assert (await texts.get([str(n)])).degraded == ()
            assert answered[b"SET"] == 0
            asyncio.get_running_loop().call_soon(release.set)
        assert answered[b"SET"] == 5


async def test_what_waits_to_be_written_is_bounded(encoder):
    release = asyncio.Event()

    async def hold_writes(command: bytes) -> bool:
        return command != b"SET" or await release.wait()

    async with forgetful_peer(hold_writes) as (remote, answered):
        async with texts_of(encoder, remote=remote, max_waiting=5000) as texts:
            assert (await texts.get([str(n) for n in range(3000)])).degraded == ()
            release.set()
        assert 500 < answered[b"SET"] < 1500
