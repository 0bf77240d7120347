"""What end-to-end tests share: an artifact that the command built."""

import subprocess
import sys
from pathlib import Path

import pytest

from index_builder.demo import write_demo
from tests.end_to_end.service import ROOT


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small demo, built by the command with the packaged encoder."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, source="small")
    command = [sys.executable, "-m", "index_builder", "build", str(folder / "recall.toml")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return folder / "artifacts"
