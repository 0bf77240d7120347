"""What the service's tests share: an app with its lifespan run, a moody encoder, and what every problem must be."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
from fastapi import FastAPI

from app.engine import Engine
from app.factory import create_app
from app.settings import ServiceSettings
from models.types import Vector
from tests.fakes import FakeEncoder

LONG = 20.0  # seconds that an answer which comes may take on a busy machine


class MoodyEncoder(FakeEncoder):
    """A fake encoder that waits while its gate is shut, and fails on demand."""

    def __init__(self, max_words: int = 200) -> None:
        super().__init__(max_words=max_words)
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Callable[[str], Exception | None] = lambda text: None

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Encodes once the gate is open, or raises what `failure` gives for the text."""
        answer = super().encode_user(text)
        assert self.gate.wait(LONG)
        failure = self.failure(text)
        if failure is not None:
            raise failure
        return answer


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Runs an app's lifespan; an exception that escapes the app fails the test."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://recall", timeout=LONG) as client:
            yield client


@asynccontextmanager
async def serving(
    engine: Engine, encoder: FakeEncoder | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Serves an engine, by default with its own encoder, in this process."""
    if encoder is not None:
        engine = replace(engine, encoder=encoder)
    async with running(create_app(ServiceSettings(**{"threads": 2, **settings}), engine=engine)) as client:
        yield client


def assert_problem(response: httpx.Response, status: int, word: str) -> dict[str, Any]:
    """Checks all that every error answer has in common, and returns its body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert_problem_body(body, status, word)
    assert response.headers["x-request-id"] == body["request_id"]
    assert ("retry-after" in response.headers) == (status in (429, 503))
    assert ("www-authenticate" in response.headers) == (status == 401)
    return body


def assert_problem_body(body: dict[str, Any], status: int, word: str) -> None:
    """Checks a problem, wherever it stands."""
    assert {"type", "title", "status", "detail", "request_id"} <= body.keys() <= {*body.keys(), "errors"}
    assert (body["status"], body["type"]) == (status, word), body
    assert all(isinstance(body[name], str) and body[name] for name in ("title", "detail", "request_id"))
    assert ("errors" in body) == (word == "invalid_request")
    for error in body.get("errors", ()):
        assert error.keys() == {"field", "message"}
        assert error["message"]
        assert (error["field"] or "body") in body["detail"]


def wrong_fields(response: httpx.Response) -> list[str]:
    """Checks that an answer is a 422 and returns the fields that it names."""
    return [error["field"] for error in assert_problem(response, 422, "invalid_request")["errors"]]


def ids(answer: dict[str, Any]) -> list[str]:
    """Returns the candidates' ids, best first."""
    return [candidate["id"] for candidate in answer["candidates"]]


def core(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns what two equal questions must agree on."""
    return {name: answer[name] for name in ("artifact_id", "candidates", "missing_ids", "fallback", "degraded")}


async def ask(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """Returns the answer to a question that must have one."""
    response = await client.post("/recall", json=body)
    assert response.status_code == 200, response.text
    return response.json()
