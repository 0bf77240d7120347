"""What the tests of builds share: building with the fake encoder, and changing a catalogue."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from index_builder.build import build
from index_builder.config import load_config
from index_builder.report import BuildReport
from models.artifact import Artifact
from models.artifact_store import ArtifactStore
from tests.fakes import FakeEncoder, load_fake, prepare_fake

REPORT_KEYS = {
    "artifact_id",
    "artifacts",
    "n_items",
    "n_rows",
    "n_encoded",
    "n_reused",
    "user_texts",
    "index",
    "interactions",
    "events",
    "quality",
    "rejects",
    "deleted",
    "warnings",
    "seconds",
}


def rebuild(folder: Path, *, seed: int = 0, encoder: FakeEncoder | None = None) -> BuildReport:
    return build(load_config(folder / "recall.toml"), prepare=prepare_fake(seed, encoder), load=load_fake)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def change_rows(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = rows_of(path)
    change(rows)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def opened(folder: Path) -> Artifact:
    return ArtifactStore(folder / "artifacts").open()
