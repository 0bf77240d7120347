"""Fixtures for all tests: a clean environment, and an artifact of the small catalogue behind a fake encoder."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from app.engine import Engine, open_engine
from index_builder.build import build
from index_builder.config import load_config
from index_builder.demo import write_demo
from models.artifact_store import ArtifactStore
from tests.fakes import load_fake, prepare_fake
from tests.quick_fits import fit_quickly
from tests.tiny_model import Prepared, prepare, write_tiny_model

# The machine's other work must not fail a test; fixtures that properties share are read only.
settings.register_profile("recall", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("recall")
fit_quickly()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RECALL_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def built_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small demo, built zero-shot, so that answers can be foreseen; shared, so read only."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, source="small")
    config = load_config(folder / "recall.toml")
    zero_shot = config.model_copy(update={"learning": config.learning.model_copy(update={"enabled": False})})
    build(zero_shot, prepare=prepare_fake(), load=load_fake)
    return folder


@pytest.fixture
def demo(built_demo: Path, tmp_path: Path) -> Path:
    """A copy of the built small demo, to damage and rebuild."""
    folder = tmp_path / "demo"
    shutil.copytree(built_demo, folder, symlinks=True)
    return folder


@pytest.fixture
def store(demo: Path) -> ArtifactStore:
    """The artifacts of `demo`."""
    return ArtifactStore(demo / "artifacts")


@pytest.fixture(scope="session")
def engine(built_demo: Path) -> Engine:
    """The live artifact of the small demo, opened."""
    return open_engine(ArtifactStore(built_demo / "artifacts"), threads=1, load=load_fake)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random BERT with prompts on both sides."""
    prompts = {"query": "query: ", "document": "passage: "}
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", prompts=prompts)


@pytest.fixture(scope="session")
def tiny(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The tiny model, exported."""
    return prepare(tiny_model, tmp_path_factory.mktemp("tiny") / "artifact")


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The packaged model, exported; for tests marked `real_model`."""
    return prepare("all-MiniLM-L6-v2", tmp_path_factory.mktemp("packaged") / "artifact")
