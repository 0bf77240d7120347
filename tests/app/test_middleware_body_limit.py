"""The limit of the body: held whatever length a request declares, and counted as the body comes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Message

from app.factory import create_app
from app.middleware import BodyLimit, RequestContext
from app.schemas import MAX_BODY_BYTES
from app.settings import ServiceSettings
from tests.app.harness import assert_problem, running
from tests.app.messages import JSON, call, part


async def test_a_body_of_exactly_the_limit_is_read(client):
    body = b'{"k": 1}'.ljust(MAX_BODY_BYTES)
    assert (await client.post("/recall", content=body, headers=JSON)).status_code == 200
    response = await client.post("/recall", content=body + b" ", headers=JSON)
    assert_problem(response, 413, "body_too_large")


async def _chunks(n_bytes: int, read: list[int]) -> AsyncIterator[bytes]:
    yield b'{"k": 1}'
    for start in range(8, n_bytes, 65_536):
        size = min(65_536, n_bytes - start)
        read.append(size)
        yield b" " * size


@pytest.mark.parametrize(("n_bytes", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)])
async def test_chunks_are_counted_as_they_come(client, n_bytes, status):
    response = await client.post("/recall", content=_chunks(n_bytes, []), headers=JSON)
    assert response.status_code == status


async def test_an_endless_body_is_not_read_to_its_end(engine):
    read = 0

    async def endless() -> AsyncIterator[Message]:
        nonlocal read
        while True:
            read += 1_000_000
            yield part(b" " * 1_000_000, more=True)

    messages = endless()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it reached the app")

    limit = RequestContext(BodyLimit(app))
    scope = {"type": "http", "method": "POST", "path": "/recall", "headers": []}
    await limit(scope, messages.__anext__, send)
    assert sent[0]["status"] == 413
    assert read < MAX_BODY_BYTES + 2_000_000


@pytest.mark.parametrize("declared", [b"99999999999", b"9" * 5_000])
async def test_a_length_over_the_limit_is_refused_unread(engine, declared):
    async with running(app := create_app(ServiceSettings(), engine=engine)):
        sent = await call(app, [], (b"content-length", declared))
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("declared", [b"0", b"1", b"-5", b"ten", b"\xb2", b"8.5"])
async def test_a_length_that_lies_deceives_nobody(engine, declared):
    small, large = [part(b'{"k": 1}', more=False)], [part(b" " * MAX_BODY_BYTES, more=True), part(b" ", more=False)]
    async with running(app := create_app(ServiceSettings(), engine=engine)):
        assert (await call(app, small, (b"content-length", declared)))[0]["status"] == 200
        assert (await call(app, large, (b"content-length", declared)))[0]["status"] == 413


async def test_a_body_in_pieces_is_put_together(engine):
    pieces = [part(bytes([byte]), more=True) for byte in b'{"k": 1}'] + [part(b"", more=False)]
    async with running(app := create_app(ServiceSettings(), engine=engine)):
        assert (await call(app, pieces))[0]["status"] == 200
