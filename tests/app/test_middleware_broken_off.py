"""Requests that break off: callers who leave, sends that fail, an answer that ends half way."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message

from app.factory import create_app
from app.middleware import RequestContext
from app.settings import ServiceSettings
from tests.app.harness import running
from tests.app.messages import call, lines, part


async def test_a_caller_who_leaves_while_sending_harms_nobody(engine, logs):
    async with running(app := create_app(ServiceSettings(), engine=engine)) as client:
        assert await call(app, [part(b'{"text": "bo', more=True)]) == []
        assert (await client.post("/recall", json={"k": 1})).status_code == 200
    assert [line["status"] for line in lines(logs)] == [499, 200]


async def test_a_caller_who_leaves_while_we_encode_harms_nobody(engine, encoder, logs):
    """His task is cancelled; another one who waits for the same text gets it."""
    encoder.gate.clear()
    app = create_app(ServiceSettings(threads=1), engine=replace(engine, encoder=encoder))
    async with running(app) as client:
        leaving = asyncio.create_task(call(app, [part(b'{"text": "boots"}', more=False)]))
        while not encoder.encoded:
            await asyncio.sleep(0.001)
        staying = asyncio.create_task(client.post("/recall", json={"text": "boots"}))
        await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        encoder.gate.set()
        assert (await staying).status_code == 200
        assert encoder.encoded == ["boots"]
    assert sorted(line["status"] for line in lines(logs)) == [200, 499]


async def test_a_send_that_fails_is_no_unheard_of_error(engine):
    """The server's send raises where the caller is gone; the next request is answered."""
    async with running(app := create_app(ServiceSettings(), engine=engine)) as client:

        async def send(message: Message) -> None:
            raise OSError("gone")

        async def receive() -> Message:
            return part(b'{"k": 1}', more=False)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/recall",
            "headers": [],
            "query_string": b"",
            "server": ("x", 1),
        }
        with pytest.raises(OSError, match="gone"):
            await app(scope, receive, send)
        assert (await client.post("/recall", json={"k": 1})).status_code == 200


async def test_an_error_after_the_answer_began_reaches_the_server(logs):
    """It must cut the connection: half an answer is not to be taken for a whole one."""

    async def breaking(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("half way")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="half way"):
        await RequestContext(breaking)({"type": "http", "method": "GET", "path": "/x", "headers": []}, None, send)
    assert len(sent) == 1
    (line,) = lines(logs)
    assert line["error"] == "internal"
