"""Fixtures for contracts of event stores: an empty store of each kind, opened as often as one likes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.event_stores import open_store
from models.events import EventStore, Limits
from tests.contracts.event_stores import Open
from tests.redis_server import RedisServer


@pytest.fixture(scope="module")
def event_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Gives the source of an empty store of one kind, a new one with each call."""
    if request.param == "sqlite":
        return lambda: str(tmp_path_factory.mktemp("state") / "state")
    server = request.getfixturevalue("event_server")

    def emptied() -> str:
        server.command("FLUSHALL")
        return server.url

    return emptied


@pytest.fixture
def source(fresh: Callable[[], str]) -> str:
    return fresh()


@pytest.fixture
def opened(source: str) -> Iterator[Open]:
    """Opens the store, as often as one likes: as several processes do."""
    stores = []

    def open_one(**limits: object) -> EventStore:
        stores.append(open_store(source, Limits(**limits)))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Open) -> EventStore:
    return opened()
