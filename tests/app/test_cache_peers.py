"""The cache where no Redis is: peers that answer anything or hang up, and how often they are asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from app.breaker import Breaker
from app.cache import CacheUnavailableError
from tests.app.caches import entry, redis_cache


@dataclass
class Peer:
    """A TCP server in this loop that counts who comes and behaves as told."""

    port: int = 0
    connections: int = 0


@contextlib.asynccontextmanager
async def tcp_peer(
    behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Peer]:
    peer = Peer()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.connections += 1
        try:
            await behave(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield peer


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff\xfe\x80\r\n\r\n",
        b"*1\r\n$x\r\n",
        b"*2\r\n$-1\r\n$-1\r\n",
        b"*-7\r\n",
        b":12\r\n",
        b"+\xff\xff\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"",
    ],
)
async def test_whatever_answers_it_is_one_error(reply):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(reply)

    async with tcp_peer(answer) as peer, aclosing(redis_cache(f"redis://127.0.0.1:{peer.port}")) as cache:
        with pytest.raises(CacheUnavailableError):
            await cache.get_many([b"k"])
        with pytest.raises(CacheUnavailableError):
            await cache.put_many({b"k": entry()})
        assert not cache.available


async def test_an_open_breaker_leaves_redis_alone_but_for_one_probe():
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)

    now = 1000.0
    async with (
        tcp_peer(hang_up) as peer,
        aclosing(redis_cache(f"redis://127.0.0.1:{peer.port}", breaker=Breaker(5, 2.0, clock=lambda: now))) as cache,
    ):

        async def ask_100_times() -> None:
            calls = (cache.get_many([b"k"]) for _ in range(100))
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, CacheUnavailableError) for result in results)

        for _ in range(5):
            with pytest.raises(CacheUnavailableError):
                await cache.get_many([b"k"])
        assert peer.connections == 5
        await ask_100_times()
        assert peer.connections == 5
        now += 2.0
        await ask_100_times()
        assert peer.connections == 6
        assert not cache.available
