"""What tests of the command line share: running it, its failures, and a shop that it built."""

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from index_builder.__main__ import main
from index_builder.demo import write_demo

ROOT = Path(__file__).parents[2]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["index_builder", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def failed(result: tuple[int, str, str]) -> str:
    """The one line of a failure."""
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


def use_model(folder: Path, model: Path) -> None:
    toml = (folder / "recall.toml").read_text()
    (folder / "recall.toml").write_text(toml.replace('"all-MiniLM-L6-v2"', json.dumps(str(model))))


@functools.cache
def _build_once(base: Path, model: Path) -> Path:
    """Builds once a session, however many test files share it."""
    folder = Path(tempfile.mkdtemp(dir=base, prefix="cli-"))
    write_demo(folder, source="small")
    use_model(folder, model)
    command = [sys.executable, "-m", "index_builder", "build", folder / "recall.toml", "--json", folder / "report.json"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (folder / "stdout.txt").write_text(result.stdout)
    (folder / "stderr.txt").write_text(result.stderr)
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The small demo with the tiny model, built by the command line itself; read only."""
    return _build_once(tmp_path_factory.getbasetemp(), tiny_model)


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))
