"""The services that are measured, each in a process of its own on a free loopback port, stopped by its pid.

Knows how they are started and when they are ready; knows nothing of load.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ROOT
from benchmarks.load import Target
from models.errors import RecallError
from models.native.library import LIBRARY

_START_SECONDS = 180
_STOP_SECONDS = 10


class ServerError(RecallError):
    """A service that was to be measured doesn't start."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running service.

    Attributes:
        pid: Its process.
        recall: What it is asked by POST.
        ready_seconds: From its start to its first 200.
    """

    pid: int
    recall: Target
    ready_seconds: float


@contextmanager
def recall_service(artifacts: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Runs `python -m app` as it comes, with the cache in memory.

    Args:
        artifacts: The artifacts folder.
        settings: Others than the defaults, by variable.

    Raises:
        ServerError: It doesn't get ready.
    """
    port = free_port()
    # Settings of whoever runs the benchmark would change what is measured.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECALL_")}
    environment |= {"RECALL_ARTIFACTS": str(artifacts.resolve()), "RECALL_PORT": str(port), **(settings or {})}
    # Where this process is without the compiled library, so is the service.
    module = ["app"] if LIBRARY is not None else ["benchmarks.without_library", "app"]
    with running(module, port, ready="/readyz", environment=environment) as server:
        yield server


@contextmanager
def textbook_service(artifact: Path) -> Iterator[Server]:
    """Runs the textbook service over the directory of an artifact.

    Raises:
        ServerError: It doesn't get ready.
    """
    port = free_port()
    with running(["benchmarks.textbook", str(artifact.resolve()), str(port)], port) as server:
        yield server


@contextmanager
def empty_route() -> Iterator[Server]:
    """Runs a FastAPI route that reads the same request and does nothing.

    Raises:
        ServerError: It doesn't get ready.
    """
    port = free_port()
    with running(["benchmarks.empty_route", str(port)], port) as server:
        yield server


@contextmanager
def txtai_service(venv: Path, artifact: Path) -> Iterator[Server]:
    """Runs txtai's API over an artifact's items and encoder, from an environment that `scripts/txtai_venv.sh` made.

    Its index is built on the first run and kept in the environment.

    Raises:
        ServerError: It doesn't get ready.
    """
    port, python = free_port(), str(venv.resolve() / "bin" / "python")
    config = venv.resolve() / f"{artifact.resolve().name}.yml"
    if not config.exists():
        make = [python, "benchmarks/txtai_index.py", str(artifact.resolve()), str(config)]
        done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerError(f"txtai's index could not be built; it wrote:\n{done.stderr[-2000:].strip()}")
    environment = {**os.environ, "CONFIG": str(config)}
    module = ["uvicorn", "txtai.api:app", "--port", str(port), "--log-level", "warning"]
    with running(module, port, environment=environment, python=python, path="/batchsearch") as server:
        yield server


@contextmanager
def running(
    module: Sequence[str],
    port: int,
    *,
    ready: str = "/openapi.json",
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    path: str = "/recall",
) -> Iterator[Server]:
    """Runs `python -m` a module with its arguments until the block is left."""
    url = f"http://127.0.0.1:{port}{ready}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [python, "-m", *module], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        start = time.perf_counter()
        try:
            if reason := _not_ready(process, url):
                log.seek(0)
                tail = log.read().decode(errors="replace")[-2000:].strip()
                raise ServerError(f"python -m {module[0]}: {reason}; it wrote:\n{tail}")
            yield Server(process.pid, Target(port, path), time.perf_counter() - start)
        finally:
            _stop(process)


def _not_ready(process: subprocess.Popen[bytes], url: str) -> str | None:
    """Waits for a 200; says why none came."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            return f"ended with exit code {process.returncode}"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return None
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    return f"{url} gave no 200 within {_START_SECONDS} s"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Returns a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
