"""The service as a command: what it says where it can't start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refusal(**environment: str) -> str:
    """Runs the command, checks that it fails in one line, and returns the line."""
    command = [sys.executable, "-m", "app"]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_a_setting_that_cannot_be_used_is_named():
    assert refusal(RECALL_REDIS_URL="localhost:6379").startswith("error: RECALL_REDIS_URL=…: ")


def test_a_folder_without_an_artifact_is_named(tmp_path):
    line = refusal(RECALL_ARTIFACTS=str(tmp_path))
    assert str(tmp_path) in line
    assert "index_builder build" in line


def test_a_folder_that_is_none_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in refusal(RECALL_ARTIFACTS=str(file))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_damaged_file_is_named(store, workers):
    path = store.folder() / "item_embeddings.npy"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    line = refusal(RECALL_ARTIFACTS=str(store.root), RECALL_WORKERS=workers)
    assert "item_embeddings.npy" in line
    assert store.current_id() in line


def test_an_encoder_that_does_not_load_is_named(store):
    """The fake encoder's files are no OpenVINO model."""
    assert "encoder holds no usable OpenVINO encoder" in refusal(RECALL_ARTIFACTS=str(store.root))


def test_a_misspelt_variable_is_warned_of(tmp_path):
    environment = {**os.environ, "RECALL_ARTIFACT": "x", "RECALL_ARTIFACTS": str(tmp_path)}
    command = [sys.executable, "-m", "app"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    warning, error = result.stderr.splitlines()
    assert warning == "warning: RECALL_ARTIFACT is no setting of this version; did you mean RECALL_ARTIFACTS?"
    assert error.startswith("error: ")
