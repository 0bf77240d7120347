"""Services killed at random moments while events are posted: is every event that got a 202 in the log, once?

`python -m benchmarks.feedback_kill` kills a service 50 times on a SQLite file and 50 times on a real Redis (AOF, fsync
always), in seeded moments, and prints what became of the events. Exit 0 all are there once, 1 not, 2 bad usage.
"""

import http.client
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import ROOT, results
from benchmarks.machine import this_machine
from benchmarks.servers import ServerError, free_port, running
from index_builder.progress import progress
from models.event_stores import open_store
from models.events import START, Event
from tests.redis_server import RedisServer

POSTERS = 4
# So long, at most, a service is let work before it is killed.
_LIFE_SECONDS = 0.6
_console = Console(width=None if sys.stdout.isatty() else 180)


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the events.

    Attributes:
        kills: Services killed.
        acknowledged: Events in calls that were answered 202.
        unanswered: Calls that a kill left without an answer; the next service got them again.
        logged: Events in the log.
        lost: Acknowledged events that the log lacks.
        doubled: Events that the log has more than once.
        missing_in_profiles: Acknowledged events whose item their user's profile lacks.
    """

    kills: int
    acknowledged: int
    unanswered: int
    logged: int
    lost: int
    doubled: int
    missing_in_profiles: int

    @property
    def is_good(self) -> bool:
        """Nothing was lost or doubled, and there was something to lose."""
        return self.acknowledged > 0 and not (self.lost or self.doubled or self.missing_in_profiles)


@dataclass(slots=True)
class _Poster:
    """Posts batches as fast as they are answered; what got no answer is posted again to the next service."""

    name: str
    rng: random.Random
    acknowledged: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    unanswered: int = 0
    n_made: int = 0

    def post_until_dead(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with suppress(OSError, http.client.HTTPException):
            while True:
                self.pending = self.pending or self._new_batch()
                events = [
                    {"event_id": one, "user_id": f"user {self.name}", "item_id": one, "type": "click", "text": one}
                    for one in self.pending
                ]
                body = json.dumps({"events": events})
                connection.request("POST", "/feedback", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                if response.status != 202 or json.loads(answer)["accepted"] != len(events):
                    raise ServerError(f"status {response.status}: {answer[:300]!r}")
                self.acknowledged += self.pending
                self.pending = []
        self.unanswered += 1
        connection.close()

    def _new_batch(self) -> list[str]:
        first, self.n_made = self.n_made, self.n_made + self.rng.randint(1, 20)
        return [f"{self.name}-{number}" for number in range(first, self.n_made)]


def kill_and_count(
    module: Sequence[str], environment: Mapping[str, str], *, source: str, kills: int, seed: int
) -> Figures:
    """Starts a service again and again, kills it while events are posted, and counts what is left.

    Args:
        module: What `python -m` runs.
        environment: `RECALL_*` of the service.
        source: Where its events go.
        kills: How often.
        seed: Of the moments and of the sizes of the calls.

    Raises:
        ServerError: The service doesn't start, or answers anything but 202.
    """
    rng = random.Random(seed)
    posters = [_Poster(str(number), random.Random(seed + number)) for number in range(POSTERS)]
    with progress("kills", kills) as advance:
        for _ in range(kills):
            _live_and_die(module, environment, posters, rng.uniform(0, _LIFE_SECONDS))
            advance(1)
    return _count(source, posters, kills)


def _live_and_die(
    module: Sequence[str], environment: Mapping[str, str], posters: Sequence[_Poster], seconds: float
) -> None:
    port = free_port()
    known = {name: value for name, value in os.environ.items() if not name.startswith("RECALL_")}
    environment = {**known, **environment, "RECALL_PORT": str(port)}
    with running(module, port, ready="/livez", environment=environment) as server:
        with ThreadPoolExecutor(len(posters)) as pool:
            posting = [pool.submit(poster.post_until_dead, port) for poster in posters]
            time.sleep(seconds)
            os.kill(server.pid, signal.SIGKILL)
        for one in posting:
            one.result()


def _count(source: str, posters: Sequence[_Poster], kills: int) -> Figures:
    store, after = open_store(source), START
    logged: Counter[str] = Counter()
    while records := store.read(after, 10_000):
        logged.update(record.content.event_id for record in records if isinstance(record.content, Event))
        after = records[-1].offset
    acknowledged = [one for poster in posters for one in poster.acknowledged]
    missing = 0
    for poster in posters:
        known = {signal.value for signal in store.signals(f"user {poster.name}").items}
        missing += sum(one not in known for one in poster.acknowledged)
    store.close()
    return Figures(
        kills=kills,
        acknowledged=len(acknowledged),
        unanswered=sum(poster.unanswered for poster in posters),
        logged=len(logged),
        lost=sum(one not in logged for one in acknowledged),
        doubled=sum(count > 1 for count in logged.values()),
        missing_in_profiles=missing,
    )


def main(
    artifacts: Annotated[Path, typer.Option(help="What the services serve.")] = Path("demo/artifacts"),
    kills: Annotated[int, typer.Option(min=1, help="For each store.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
    save: Annotated[bool, typer.Option("--save", help="Add rows to RESULTS.md.")] = False,
) -> None:
    """Runs both stores and prints their figures."""
    machine, found = this_machine(), {}
    # Profiles hold all there is, so that they can be checked.
    common = {"RECALL_ARTIFACTS": str(artifacts.resolve()), "RECALL_PROFILE_ITEMS": "10000000"}
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        state = {"RECALL_STATE": folder}
        found["sqlite"] = kill_and_count(["app"], common | state, source=folder, kills=kills, seed=seed)
        with RedisServer(Path(folder), appendonly=True) as server:
            redis = {"RECALL_REDIS_URL": server.url}
            found["redis"] = kill_and_count(["app"], common | redis, source=server.url, kills=kills, seed=seed)
    table = Table("store", *Figures.__dataclass_fields__, box=None)
    for name, figures in found.items():
        table.add_row(name, *(str(getattr(figures, field)) for field in Figures.__dataclass_fields__))
    _console.print(table)
    good = all(figures.is_good for figures in found.values())
    _console.print(f"targets 0 lost, 0 doubled, 0 missing: {'held' if good else 'MISSED'}", highlight=False)
    if save:
        rows = [(name, str(figures).removeprefix("Figures(").removesuffix(")")) for name, figures in found.items()]
        results.append(machine, "feedback_kill", rows)
    if not good:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
