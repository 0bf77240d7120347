"""API keys: who is let in, and by which header."""

import pytest

from tests.app.harness import assert_problem, serving

KEYS = {"api_keys": "first-key, second-key,clé"}
ROUTES = [("POST", "/recall"), ("POST", "/recall/batch"), ("GET", "/info")]
BODIES = {"/recall": {"k": 1}, "/recall/batch": {"requests": [{"k": 1}]}}


async def test_without_keys_everybody_is_let_in(client):
    for method, path in ROUTES:
        response = await client.request(method, path, json=BODIES.get(path), headers={"X-API-Key": "whatever"})
        assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "first-key"},
        {"x-api-key": "second-key"},
        {"Authorization": "Bearer first-key"},
        {"Authorization": "bearer  second-key "},
        {"X-API-Key": "", "Authorization": "Bearer first-key"},
        {"X-API-Key": "clé".encode()},
    ],
)
async def test_any_of_the_keys_opens_every_route(engine, headers):
    async with serving(engine, **KEYS) as client:
        for method, path in ROUTES:
            response = await client.request(method, path, json=BODIES.get(path), headers=headers)
            assert response.status_code == 200, path


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "first-key,second-key"},
        {"X-API-Key": "first-ke"},
        {"X-API-Key": "FIRST-KEY"},
        {"X-API-Key": "wrong", "Authorization": "Bearer wrong"},
        {"X-API-Key": b"\xff\xfe"},
        {"Authorization": "first-key"},
        {"Authorization": "Basic first-key"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer first-key second-key"},
    ],
)
async def test_nothing_else_opens_any(engine, headers):
    async with serving(engine, **KEYS) as client:
        for method, path in ROUTES:
            response = await client.request(method, path, json=BODIES.get(path), headers=headers)
            body = assert_problem(response, 401, "unauthorized")
            assert "first-key" not in response.text
            assert "X-API-Key" in body["detail"]


async def test_the_key_comes_before_the_body(engine):
    """Who has no key learns nothing about bodies, and makes nobody parse one."""
    async with serving(engine, **KEYS) as client:
        for content in (b"{", b"[" * 100_000, b'{"k": 0}'):
            response = await client.post("/recall", content=content, headers={"Content-Type": "application/json"})
            assert_problem(response, 401, "unauthorized")


async def test_probes_and_metrics_stay_open(engine):
    async with serving(engine, **KEYS) as client:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200
