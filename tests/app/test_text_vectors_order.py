"""Texts to vectors by the order of events, over a peer that knows no key and answers when told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.cache import RedisCache
from tests.app import text_encoding
from tests.app.text_encoding import redis_of, texts_of, until_encoding

encoder = text_encoding.encoder


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
