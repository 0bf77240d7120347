"""The service as a process on a free port, for tests that need all of it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds that a start or an end may take on a busy machine
MODULE = ("-m", "app")


class Service:
    """One service process on a free loopback port; its output goes to files.

    Args:
        folder: Where the files go; also its TMPDIR.
        artifacts: What it serves.
        command: What Python runs.
        settings: `RECALL_*` without the prefix.
    """

    def __init__(self, folder: Path, artifacts: Path, *, command: tuple[str, ...] = MODULE, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        folder.mkdir(exist_ok=True)
        self.folder = folder
        names = {"ARTIFACTS": str(artifacts), "PORT": str(self.port), **settings}
        environment = {**os.environ, "TMPDIR": str(folder), **{f"RECALL_{name}": names[name] for name in names}}
        words = [word.replace("PORT", str(self.port)) for word in command]
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def errors(self) -> str:
        return (self.folder / "err").read_text()

    def log(self, event: str) -> list[dict[str, Any]]:
        """Returns the lines of one kind; every line of the log must be JSON."""
        lines = [json.loads(line) for line in (self.folder / "out").read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def wait_until_ready(self) -> Self:
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=PATIENCE).status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"no service: {self.errors}")

    def wait_until_closed(self) -> None:
        """Waits until it takes no more connections; pytest's time-out is the limit."""
        with contextlib.suppress(ConnectionError):
            while True:
                socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
                time.sleep(0.01)

    def terminate(self) -> int:
        """Asks it to end and returns its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def post(self, body: Any, path: str = "/recall") -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=PATIENCE)

    def recall(self, **body: Any) -> dict[str, Any]:
        response = self.post(body)
        assert response.status_code == 200, response.text
        return response.json()

    def open_request(self, body: bytes, *headers: str) -> socket.socket:
        """Sends the head of a POST /recall and returns the connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        head = ["POST /recall HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        connection.sendall("\r\n".join([*head, *headers, "", ""]).encode())
        return connection
