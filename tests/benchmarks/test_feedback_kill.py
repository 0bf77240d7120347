"""The short version: services killed while events are posted lose nothing that they acknowledged."""

from pathlib import Path

import pytest

from benchmarks.feedback_kill import Figures, kill_and_count
from models.artifact_store import ArtifactStore
from models.event_stores import open_store
from models.events import START, Event
from tests.artifacts import contents_of, publish, unit_rows
from tests.fakes import DIM
from tests.redis_server import RedisServer

KILLS = 3
SERVICE = ["tests.fake_service"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a service over a small artifact whose profiles hold all there is."""
    store = ArtifactStore(tmp_path_factory.mktemp("artifacts"))
    store.activate(publish(store, contents_of(unit_rows(5, DIM))))
    return {"RECALL_ARTIFACTS": str(store.root), "RECALL_PROFILE_ITEMS": "1000000", "RECALL_THREADS": "1"}


def check(figures: Figures) -> None:
    assert figures.is_good, figures
    assert figures.kills == KILLS
    assert figures.logged >= figures.acknowledged > 50


def test_a_killed_service_loses_nothing_that_it_acknowledged_on_sqlite(environment, tmp_path):
    source = str(tmp_path / "state")
    settings = environment | {"RECALL_STATE": source}
    check(kill_and_count(SERVICE, settings, source=source, kills=KILLS, seed=1))


@pytest.mark.redis
def test_a_killed_service_loses_nothing_that_it_acknowledged_on_redis(environment, tmp_path):
    with RedisServer(tmp_path) as server:
        settings = environment | {"RECALL_REDIS_URL": server.url}
        check(kill_and_count(SERVICE, settings, source=server.url, kills=KILLS, seed=2))


@pytest.mark.redis
def test_a_killed_redis_that_writes_always_loses_nothing_that_it_acknowledged(tmp_path):
    with RedisServer(tmp_path, appendonly=True) as server:
        store = open_store(server.url)
        raw = {"user_id": "u", "item_id": "i", "type": "click", "timestamp": 1.0}
        events = [Event.model_validate(raw | {"event_id": f"e{n}"}) for n in range(20)]
        for event in events:
            store.append([event])
        log_id = store.log_id()
        server.stop()
        server.start()
        assert [record.content for record in store.read(START, 100)] == events
        assert not any(store.append(events))
        assert store.log_id() == log_id
        assert len(store.signals("u").items) == 1
        store.close()


def test_what_counts_as_good(tmp_path: Path):
    good = {"kills": 1, "acknowledged": 9, "unanswered": 1, "logged": 10, "lost": 0, "doubled": 0}
    assert Figures(**good, missing_in_profiles=0).is_good
    assert not Figures(**good, missing_in_profiles=1).is_good
    for bad in ({"lost": 1}, {"doubled": 1}, {"acknowledged": 0}):
        assert not Figures(**good | bad, missing_in_profiles=0).is_good
