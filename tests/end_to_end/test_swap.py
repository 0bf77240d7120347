"""Artifacts change under a running service: signals, several processes, real encoders, memory."""

import os
import shutil
import signal
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.swap import measure_swaps
from benchmarks.twin import make_twins
from models.artifact_store import ArtifactStore
from tests.end_to_end.service import PATIENCE, Service

pytestmark = pytest.mark.real_model


@pytest.fixture
def twins(artifacts: Path, tmp_path: Path) -> tuple[ArtifactStore, str, str]:
    """A folder with two artifacts; the first is live."""
    store = ArtifactStore(tmp_path / "artifacts")
    first, second = make_twins(ArtifactStore(artifacts).folder(), store.root)
    return store, first, second


def served(service: Service, answers: int = 1) -> set[str]:
    """Which artifacts answer; with several workers ask often."""
    return {service.recall(k=1)["artifact_id"] for _ in range(answers)}


def wait_for(service: Service, artifact_id: str, answers: int = 1) -> None:
    deadline = time.monotonic() + PATIENCE
    while served(service, answers) != {artifact_id}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_swapping_under_load_fails_no_request_and_keeps_memory(artifacts, tmp_path):
    """The short version of `python -m benchmarks.swap`, without its bound on time."""
    folder = tmp_path / "artifacts" / ArtifactStore(artifacts).folder().name
    shutil.copytree(ArtifactStore(artifacts).folder(), folder, copy_function=os.link)
    figures = measure_swaps(folder, swaps=12, connections=8, calm_seconds=1.0)
    assert not figures.failures
    assert figures.answers > 100
    assert figures.growth < 0.05


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_process_comes_to_serve_the_same(twins, tmp_path, workers):
    store, first, second = twins
    settings = {"WORKERS": workers, "THREADS": "1", "RELOAD_SECONDS": "0.2"}
    with Service(tmp_path / "service", store.root, **settings) as service:
        service.wait_until_ready()
        assert served(service, 20) == {first}
        store.activate(second)
        wait_for(service, second, 20)
        answer = httpx.post(f"{service.url}/admin/rollback", timeout=PATIENCE).json()
        assert (answer["old"], answer["new"]) == (second, first)
        assert store.current_id() == first
        wait_for(service, first, 20)
        assert service.errors == ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_reloads_and_nobody_starts_anew(twins, tmp_path, workers):
    store, first, second = twins
    settings = {"WORKERS": workers, "THREADS": "1", "RELOAD_SECONDS": "3600"}
    with Service(tmp_path / "service", store.root, **settings) as service:
        service.wait_until_ready()
        assert served(service, 20) == {first}
        store.activate(second)
        service.process.send_signal(signal.SIGHUP)
        wait_for(service, second, 20)
        # The first one of a single process was opened before it served, and once.
        opened = [line["artifact_id"] for line in service.log("artifact_opened")]
        assert opened.count(second) == int(workers)


def test_a_damaged_one_is_refused_and_the_old_one_serves_on(twins, tmp_path):
    store, first, second = twins
    path = store.root / second / "item_embeddings.npy"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with Service(tmp_path / "service", store.root, RELOAD_SECONDS="0.1") as service:
        service.wait_until_ready()
        store.activate(second)
        deadline = time.monotonic() + PATIENCE
        while not service.log("artifact_refused"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)  # five looks
        (line,) = service.log("artifact_refused")
        assert line["artifact_id"] == second
        assert "item_embeddings.npy" in line["reason"]
        assert served(service) == {first}
        assert httpx.get(f"{service.url}/info").json()["artifact_refused"]["artifact_id"] == second
