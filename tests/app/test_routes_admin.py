"""Who may use the operator's routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.factory import create_app
from app.settings import ServiceSettings
from tests.app.harness import LONG, assert_problem

ROUTES = ["/admin/reload", "/admin/rollback"]
KEYS = {"admin_keys": "operator, second", "api_keys": "caller"}


@asynccontextmanager
async def called_from(engine: Any, host: str | None, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serves an engine to a caller at an address."""
    app = create_app(ServiceSettings(threads=1, reload_seconds=3600, **settings), engine=engine)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=(host, 123))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://recall", timeout=LONG) as client:
            yield client


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_without_keys_this_machine_may(engine, host):
    async with called_from(engine, host) as client:
        assert (await client.post("/admin/reload")).json()["new"] == engine.artifact_id


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.7", "::ffff:10.0.0.1", "2001:db8::1", "localhost", "", "unix"])
@pytest.mark.parametrize("path", ROUTES)
async def test_without_keys_nobody_else_may(engine, host, path):
    async with called_from(engine, host) as client:
        body = assert_problem(await client.post(path), 403, "forbidden")
        assert "RECALL_ADMIN_KEYS" in body["detail"]


@pytest.mark.parametrize("path", ROUTES)
async def test_a_web_page_in_a_browser_on_this_machine_may_not(engine, path):
    async with called_from(engine, "127.0.0.1") as client:
        for origin in ("https://evil.example", "null", "http://127.0.0.1:8000"):
            assert_problem(await client.post(path, headers={"Origin": origin}), 403, "forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1"])
async def test_with_admin_keys_whoever_has_one_may_from_anywhere(engine, host):
    async with called_from(engine, host, **KEYS) as client:
        for headers in ({"X-API-Key": "operator"}, {"Authorization": "Bearer second"}):
            assert (await client.post("/admin/reload", headers=headers)).status_code == 200
        for headers in ({}, {"X-API-Key": "caller"}, {"Authorization": "Bearer operator, second"}):
            for path in ROUTES:
                body = assert_problem(await client.post(path, headers=headers), 401, "unauthorized")
                assert "RECALL_ADMIN_KEYS" in body["detail"]


async def test_an_admin_key_is_no_api_key(engine):
    async with called_from(engine, "127.0.0.1", **KEYS) as client:
        refused = await client.post("/recall", json={"k": 1}, headers={"X-API-Key": "operator"})
        assert_problem(refused, 401, "unauthorized")


async def test_looking_changes_nothing(engine):
    async with called_from(engine, "127.0.0.1") as client:
        for path in ROUTES:
            assert_problem(await client.get(path), 405, "method_not_allowed")
