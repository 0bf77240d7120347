"""What end-to-end tests share: an artifact that the command built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from index_builder.demo import write_demo
from tests.end_to_end.service import ROOT


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small demo, built by the command with the packaged encoder: once, by the first of the processes that test."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "end-to-end-demo"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "artifacts" / "current").exists():
            _build(folder)
    return folder / "artifacts"


def _build(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write_demo(folder, source="small")
    command = [sys.executable, "-m", "index_builder", "build", str(folder / "recall.toml")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
