"""Fixtures for the service's tests."""

import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from structlog.testing import capture_logs

from app.engine import Engine, open_engine
from index_builder.build import build
from index_builder.config import load_config
from index_builder.demo import write_demo
from models.artifact_store import ArtifactStore
from models.item_index import ItemIndex
from tests.app.harness import MoodyEncoder, serving
from tests.fakes import load_fake, prepare_fake
from tests.redis_server import RedisServer


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    """The service over the small demo behind the fake encoder, its lifespan run."""
    async with serving(engine) as client:
        yield client


@pytest.fixture
def encoder() -> Iterator[MoodyEncoder]:
    """An encoder to hold up and to break."""
    encoder = MoodyEncoder()
    yield encoder
    encoder.gate.set()


@pytest.fixture
async def moody(engine: Engine, encoder: MoodyEncoder) -> AsyncIterator[httpx.AsyncClient]:
    """The service over one encoding thread, with `encoder`."""
    async with serving(engine, encoder, threads=1) as client:
        yield client
        encoder.gate.set()


@pytest.fixture
def slow_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches take so long, for all the service knows, that they are worth a thread."""
    monkeypatch.setattr(ItemIndex, "is_quick", False)


class BlockingClient:
    """The service for tests that aren't coroutines, hypothesis' above all."""

    def __init__(self, portal: Any, client: httpx.AsyncClient) -> None:
        self._portal, self._client = portal, client

    def post(self, path: str, **request: Any) -> httpx.Response:
        """Sends one POST."""
        return self._portal.call(lambda: self._client.post(path, **request))

    def recall(self, **body: Any) -> dict[str, Any]:
        """Returns the answer to a request that must be answered."""
        response = self.post("/recall", json=body)
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture(scope="session")
def shared(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingClient]:
    """One service for many examples; its cache is warm from the ones before."""
    service = serving(engine, state=tmp_path_factory.mktemp("state"))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(service) as client:
        yield BlockingClient(portal, client)


@pytest.fixture(scope="session")
def plain_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An artifact without interactions, whose ids were integers: 1 … 40."""
    folder = tmp_path_factory.mktemp("plain")
    items = [{"item_id": n, "title": f"thing {n} of colour {n % 5} and shape {n % 7}"} for n in range(1, 41)]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    (folder / "recall.toml").write_text('[catalogue]\npath = "items.jsonl"\ntext = ["title"]\n')
    build(load_config(folder / "recall.toml"), prepare=prepare_fake(), load=load_fake)
    return open_engine(ArtifactStore(folder / "artifacts"), threads=1, load=load_fake)


@pytest.fixture(scope="session")
def zero_shot_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The small demo without its interactions: the user vector is the decayed mean."""
    folder = tmp_path_factory.mktemp("zero-shot")
    write_demo(folder, source="small")
    config = load_config(folder / "recall.toml").model_copy(update={"interactions": None})
    build(config, prepare=prepare_fake(), load=load_fake)
    return open_engine(ArtifactStore(folder / "artifacts"), threads=1, load=load_fake)


@pytest.fixture
def logs() -> Iterator[list[dict[str, Any]]]:
    """The structured log entries of the test."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings of a service with an empty store of one kind."""
    if request.param == "sqlite":
        return {"state": tmp_path / "state"}
    server = request.getfixturevalue("server")
    server.command("FLUSHALL")
    return {"redis_url": server.url, "redis_timeout_ms": 20_000, "state": tmp_path / "unused"}


@pytest.fixture
async def service(engine: Engine, stored: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine, **stored) as client:
        yield client


@pytest.fixture
async def sqlite_service(engine: Engine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine, state=tmp_path / "state") as client:
        yield client


@pytest.fixture
def encoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Python's threads that encode."""
    with ThreadPoolExecutor(2) as executor:
        yield executor
