"""Two services over one artifacts folder and one Redis: how soon each sees what the other was told.

`python -m benchmarks.two_services` starts two processes and a Redis of its own. Services that run already, such as
those of compose, are named by `--url` twice, with `--switch` a command that moves `current`. Exit 0 within the bounds
(an item within a second, a switch within ten), 1 not.
"""

import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
import typer
from rich.console import Console

from benchmarks import command, results
from benchmarks.machine import this_machine
from benchmarks.servers import recall_service
from benchmarks.twin import make_twins
from models.artifact_store import ArtifactStore
from models.errors import RecallError
from tests.redis_server import RedisServer

DEMO = Path("demo/artifacts")
ITEM_SECONDS, SWITCH_SECONDS = 1.0, 10.0
_GIVE_UP_SECONDS = 60.0
_console = Console(width=None if sys.stdout.isatty() else 180)


class NotReachedError(RecallError):
    """A change did not reach the other service in time."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service.

    Attributes:
        url: Without a path.
    """

    url: str

    def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Returns the answer; whatever is no 2xx raises."""
        content = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        with urllib.request.urlopen(request, timeout=_GIVE_UP_SECONDS) as response:
            answer: dict[str, object] = orjson.loads(response.read() or b"{}")
        return answer

    def artifact_id(self) -> str:
        """Returns the artifact that it serves."""
        artifact = self.call("GET", "/info")["artifact"]
        assert isinstance(artifact, dict)
        return str(artifact["artifact_id"])

    def recalls(self, item_id: str, words: str) -> bool:
        """Says whether the item is among the first for the words."""
        candidates = self.call("POST", "/recall", {"text": words, "k": 5})["candidates"]
        assert isinstance(candidates, list)
        return item_id in [candidate["id"] for candidate in candidates]


def put_and_delete(here: Service, there: Service, number: int) -> tuple[float, float]:
    """Returns the seconds until the other service recalls an item that one took, and until it doesn't any more."""
    item_id, words = f"gadget-{number}", f"unheard-of gadget {number} zyzzyva"
    artifact = here.call("GET", "/info")["artifact"]
    assert isinstance(artifact, dict)
    start = time.perf_counter()
    here.call("PUT", "/items", {"items": [{"id": item_id, artifact["text_fields"][0]: words}]})
    there_after = _until(lambda: there.recalls(item_id, words), start)
    start = time.perf_counter()
    here.call("DELETE", f"/items/{item_id}")
    return there_after, _until(lambda: not there.recalls(item_id, words), start)


def switch(services: tuple[Service, Service], move: Callable[[], object]) -> float:
    """Returns the seconds from the moved `current` until both services answer from the same other artifact."""
    before = services[0].artifact_id()
    move()
    start = time.perf_counter()

    def both_follow() -> bool:
        first, second = (service.artifact_id() for service in services)
        return first == second != before

    return _until(both_follow, start)


def _until(reached: Callable[[], bool], start: float) -> float:
    while not reached():
        if (waited := time.perf_counter() - start) > _GIVE_UP_SECONDS:
            raise NotReachedError(f"the other service doesn't know of the change after {waited:.0f} s, 1 s is the aim")
        time.sleep(0.01)
    return time.perf_counter() - start


@contextmanager
def local_services(artifacts: Path) -> Iterator[tuple[Service, Service, Callable[[], object]]]:
    """Starts two services over an artifact and its twin, with a Redis; yields them and what moves `current`."""
    folder = ArtifactStore(artifacts).folder()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".two-") as name, ExitStack() as running:
        store = ArtifactStore(Path(name) / "artifacts")
        store.root.mkdir()
        first, second = make_twins(folder, store.root)
        redis = running.enter_context(RedisServer(Path(name), appendonly=True))
        settings = {"RECALL_REDIS_URL": redis.url}
        servers = [running.enter_context(recall_service(store.root, settings)) for _ in range(2)]
        here, there = (Service(f"http://127.0.0.1:{server.recall.port}") for server in servers)
        yield here, there, lambda: store.activate(second if store.current_id() == first else first)


def main(
    artifacts: Annotated[Path, typer.Option(metavar="DIR", help="Artifacts folder; its live one is used.")] = DEMO,
    url: Annotated[list[str] | None, typer.Option(help="A running service; give two.")] = None,
    switch_by: Annotated[str | None, typer.Option("--switch", help="Moves `current`, for running services.")] = None,
    times: Annotated[int, typer.Option(min=1, help="Items put and deleted in each direction.")] = 10,
    switches: Annotated[int, typer.Option(min=0, help="How often `current` is moved.")] = 4,
    save: Annotated[bool, typer.Option("--save", help="Add the row to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Measures how soon a change made through one service is seen by the other."""
    machine = this_machine()
    if url is not None and (len(url) != 2 or switch_by is None):
        raise typer.BadParameter("give --url twice, and --switch", param_hint="--url")
    with ExitStack() as running:
        move: Callable[[], object]
        if url is None:
            here, there, move = running.enter_context(local_services(artifacts))
        else:
            here, there = map(Service, url)
            command = shlex.split(str(switch_by))
            move = partial(subprocess.run, command, check=True, stdout=sys.stderr)
        delays = [put_and_delete(*pair, number) for number in range(times) for pair in ((here, there), (there, here))]
        followed = [switch((here, there), move) for _ in range(switches)]
    put, gone = (sorted(values) for values in zip(*delays, strict=True))
    good = put[-1] <= ITEM_SECONDS and gone[-1] <= ITEM_SECONDS and max(followed, default=0) <= SWITCH_SECONDS
    line = (
        f"{len(put)} items put through one, recalled by the other after {np.median(put):.2f} s (median),"
        f" {put[-1]:.2f} s at most; deleted, gone there after {np.median(gone):.2f} s, {gone[-1]:.2f} s at most (target"
        f" {ITEM_SECONDS:.0f} s); `current` moved {switches} times, both on the new artifact after"
        f" {max(followed, default=0):.1f} s at most (target {SWITCH_SECONDS:.0f} s): {'held' if good else 'MISSED'}"
    )
    _console.print(line, highlight=False)
    if save:
        where = "two processes" if url is None else "compose"
        results.append(machine, "two_services", [(f"{where}, one Redis, one artifacts folder", line)])
    if not good:
        raise typer.Exit(1)


if __name__ == "__main__":
    command.run(main)
