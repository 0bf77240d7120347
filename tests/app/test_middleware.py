"""Around every request: its id, and a problem for whatever nobody foresaw."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.factory import create_app
from app.middleware import BodyLimit, RequestContext
from app.settings import ServiceSettings
from tests.app.harness import assert_problem, running, serving

# Ids


@pytest.mark.parametrize("given", ["r-1", "a" * 128, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "0"])
async def test_a_sane_request_id_is_taken_over(client, given):
    for method, path in [("POST", "/recall"), ("GET", "/livez"), ("GET", "/nothing")]:
        response = await client.request(method, path, json={}, headers={"X-Request-ID": given})
        assert response.headers.get_list("x-request-id") == [given]
    answer = await client.post("/recall", json={"k": 1}, headers={"X-Request-ID": given})
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", "é".encode(), b"\x7f", b"a\tb"])
async def test_any_other_is_replaced(client, given):
    response = await client.post("/recall", json={"k": 0}, headers={"X-Request-ID": given})
    made = assert_problem(response, 422, "invalid_request")["request_id"]
    assert len(made) == 32
    assert int(made, 16)


async def test_ids_that_are_made_differ(client):
    made = {(await client.get("/livez")).headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20


async def test_many_at_once_keep_their_ids(client):
    async def ask(number: int) -> httpx.Response:
        headers = {"X-Request-ID": f"r{number}"}
        return await client.post("/recall", json={"text": f"text {number % 7}", "k": 1 + number % 5}, headers=headers)

    responses = await asyncio.gather(*map(ask, range(60)))
    for number, response in enumerate(responses):
        assert response.status_code == 200
        assert response.headers["x-request-id"] == response.json()["request_id"] == f"r{number}"
        assert len(response.json()["candidates"]) == 1 + number % 5


# What nobody foresaw


async def test_an_error_that_nobody_foresaw_is_a_problem_and_escapes_nowhere(engine, logs):
    app = create_app(ServiceSettings(), engine=engine)

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a user's words")

    async with running(app) as client:
        assert_problem(await client.get("/broken"), 500, "internal")
    assert [entry["event"] for entry in logs if entry["event"] != "artifact_opened"] == ["unexpected_error", "request"]


async def test_head_and_options_are_problems_too(client):
    for path in ("/livez", "/recall"):
        response = await client.head(path)
        assert response.status_code == 405
        assert response.headers["allow"]
        assert_problem(await client.options(path), 405, "method_not_allowed")


async def test_other_protocols_pass_by(engine):
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    chain = RequestContext(BodyLimit(app))
    for kind in ("lifespan", "websocket"):
        await chain({"type": kind}, None, None)
    assert seen == ["lifespan", "websocket"]
    assert isinstance(create_app(ServiceSettings(), engine=engine), FastAPI)


async def test_serving_is_the_same_twice(engine):
    """Two apps in one process share metrics, and nothing else."""
    async with serving(engine) as one, serving(engine, api_keys="key") as two:
        assert (await one.post("/recall", json={"k": 1})).status_code == 200
        assert (await two.post("/recall", json={"k": 1})).status_code == 401
