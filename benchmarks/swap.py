"""Artifacts swapped under load: `python -m benchmarks.swap`. Exit 0 all held, 1 something didn't, 2 bad usage.

A service answers over some connections while its artifact is swapped again and again for a twin with other ids; every
answer is checked against the artifact that it names.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
import typer
from rich.console import Console

from benchmarks import command, results
from benchmarks.load import Answer, Target, ask, run
from benchmarks.machine import this_machine
from benchmarks.servers import Server, recall_service
from benchmarks.texts import item_words, unique_texts
from benchmarks.twin import MARK, make_twins
from models.artifact import read_manifest
from models.artifact_store import ArtifactStore

K = 20
DEMO = Path("demo/artifacts")
MAX_SLOWDOWN, MAX_GROWTH = 3.0, 0.05
_SETTLED = 5  # swaps until memory is as it will stay
_PAUSE_SECONDS = 0.3
_SEED = 3

_console = Console(width=None if sys.stdout.isatty() else 180)


@dataclass(frozen=True, slots=True)
class SwapFigures:
    """What was measured.

    Attributes:
        swaps: How many were made.
        answers: How many answers were checked.
        failures: How often each reason occurred.
        calm_p99: Milliseconds, before the first swap.
        swap_p99: Of the answers that overlap a swap.
        swap_seconds: From the call to its answer, the median and the longest.
        resident: Bytes after each swap; the first entry is before any.
    """

    swaps: int
    answers: int
    failures: Counter[str]
    calm_p99: float
    swap_p99: float
    swap_seconds: tuple[float, float]
    resident: list[int]

    @property
    def slowdown(self) -> float:
        """How many times as long as in calm the slowest hundredth takes."""
        return self.swap_p99 / self.calm_p99

    @property
    def growth(self) -> float:
        """Resident memory after the last swap against that after the fifth, as a share; the mean of two, one a twin."""
        settled = np.mean(self.resident[_SETTLED : _SETTLED + 2])
        return float(np.mean(self.resident[-2:]) / settled) - 1

    @property
    def good(self) -> bool:
        """Whether all the targets were held."""
        return not self.failures and self.slowdown <= MAX_SLOWDOWN and self.growth <= MAX_GROWTH

    def lines(self) -> list[str]:
        """Returns the figures for a person."""
        median, longest = self.swap_seconds
        megabytes = [round(self.resident[number] / 2**20) for number in (0, _SETTLED, -1)]
        return [
            f"{self.swaps} swaps, {self.answers} answers, {self.failures.total()} failed or of a wrong artifact",
            f"p99 {self.calm_p99:.1f} ms calm, {self.swap_p99:.1f} ms during swaps: {self.slowdown:.2f} ×",
            f"a swap takes {median:.2f} s, {longest:.2f} s at most",
            f"resident {megabytes[0]} MiB before, {megabytes[1]} after the 5th, {megabytes[2]} after the last:"
            f" {100 * self.growth:+.1f} %",
            f"targets 0 failed, {MAX_SLOWDOWN:.0f} × p99, {MAX_GROWTH:+.0%} memory:"
            f" {'held' if self.good else 'MISSED'}",
        ]


def main(
    artifacts: Annotated[Path, typer.Option(metavar="DIR", help="Artifacts folder; its live one is used.")] = DEMO,
    swaps: Annotated[int, typer.Option(min=8, help="How many.")] = 50,
    connections: Annotated[int, typer.Option(min=1, help="How many ask at the same time.")] = 8,
    repeated: Annotated[bool, typer.Option("--repeated", help="Ask for the same 256 texts, which are cached.")] = False,
    save: Annotated[bool, typer.Option("--save", help="Add the row to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Swaps artifacts under load and checks every answer."""
    machine = this_machine()
    _console.print(f"{machine}; load {machine.load:.1f}; commit {machine.commit}; {machine.date}", highlight=False)
    figures = measure_swaps(
        ArtifactStore(artifacts).folder(), swaps=swaps, connections=connections, n_texts=256 if repeated else None
    )
    for line in figures.lines():
        _console.print(line, highlight=False)
    for reason, n in figures.failures.most_common(10):
        _console.print(f"{n} × {reason}", highlight=False)
    if save:
        row = f"{swaps} swaps, {connections} connections, {'repeated' if repeated else 'fresh'} texts"
        results.append(machine, "swap", [(row, "; ".join(figures.lines()))])
    if not figures.good:
        raise typer.Exit(1)


def measure_swaps(
    folder: Path, *, swaps: int, connections: int, calm_seconds: float = 10.0, n_texts: int | None = None
) -> SwapFigures:
    """Serves an artifact and its twin in turns.

    Args:
        folder: The artifact; it is linked, not changed.
        swaps: How many.
        connections: How many ask at the same time.
        calm_seconds: How long is measured before the first swap.
        n_texts: So many texts are asked again and again; None asks each text once.
    """
    n = min(K, read_manifest(folder).index.n_items)
    bodies = _bodies(item_words(folder), n_texts)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".swap-") as name:
        store = ArtifactStore(Path(name))
        twins = make_twins(folder, store.root)
        with recall_service(store.root) as server:
            load = _Load(server, bodies, connections)
            calm, busy, swapping = run(_swap_under_load(load, store, twins, swaps, calm_seconds))
    spans = swapping.spans
    during = [one.milliseconds for one in busy if any(_overlap(one, span) for span in spans)]
    seconds = [end - start for start, end in spans]
    reasons = (failure(one, twins, n) for one in calm + busy)
    return SwapFigures(
        swaps=swaps,
        answers=len(calm) + len(busy),
        failures=swapping.refused + Counter(reason for reason in reasons if reason is not None),
        calm_p99=float(np.percentile([one.milliseconds for one in calm], 99)),
        swap_p99=float(np.percentile(during, 99)),
        swap_seconds=(float(np.median(seconds)), max(seconds)),
        resident=swapping.resident,
    )


@dataclass(slots=True)
class _Load:
    """Requests that don't end until they are told to."""

    server: Server
    bodies: Iterator[bytes]
    connections: int
    stopped: bool = False

    async def run(self, seconds: float) -> list[Answer]:
        return await ask(self.server.recall, self.bodies, connections=self.connections, seconds=seconds)

    async def run_until_stopped(self) -> list[Answer]:
        answers: list[Answer] = []
        while not self.stopped:  # one call asks so many times at most
            answers += await self.run(1.0)
        return answers


@dataclass(slots=True)
class _Swapping:
    """What the swaps themselves gave."""

    spans: list[tuple[float, float]]
    resident: list[int]
    refused: Counter[str]


async def _swap_under_load(
    load: _Load, store: ArtifactStore, twins: tuple[str, str], swaps: int, calm_seconds: float
) -> tuple[list[Answer], list[Answer], _Swapping]:
    """Returns the answers in calm and while artifacts were swapped, and how the swaps went."""
    await load.run(2)  # warm-up
    calm = await load.run(calm_seconds)
    busy = asyncio.create_task(load.run_until_stopped())
    pid, reload = load.server.pid, Target(load.server.recall.port, "/admin/reload")
    swapping = _Swapping([], [_resident(pid)], Counter())
    for number in range(swaps):
        await asyncio.sleep(_PAUSE_SECONDS)
        wanted = twins[(number + 1) % 2]
        store.activate(wanted)
        (answer,) = await ask(reload, [b""])
        if reason := _refusal(answer, wanted):
            swapping.refused[reason] += 1
        swapping.spans.append((answer.start, answer.start + answer.milliseconds / 1e3))
        await asyncio.sleep(_PAUSE_SECONDS)  # requests touch the new pages
        swapping.resident.append(_resident(pid))
    load.stopped = True
    return calm, await busy, swapping


def failure(answer: Answer, twins: tuple[str, str], n: int) -> str | None:
    """Says what is wrong with an answer; None where it is n candidates of the artifact that it names."""
    if answer.error or answer.status != 200:
        return answer.error or f"status {answer.status}"
    content = orjson.loads(answer.body)
    if content["artifact_id"] not in twins:
        return f"artifact_id {content['artifact_id']}"
    ids = {candidate["id"] for candidate in content["candidates"]}
    if len(ids) != n:
        return f"{len(ids)} distinct candidates instead of {n}"
    is_twin = content["artifact_id"] == twins[1]
    if any(item_id.startswith(MARK) != is_twin for item_id in ids):
        return "candidates of another artifact than the one named"
    return None


def _refusal(answer: Answer, wanted: str) -> str | None:
    if answer.error or answer.status != 200:
        return f"/admin/reload: {answer.error or answer.body.decode()}"
    new = orjson.loads(answer.body)["new"]
    return None if new == wanted else f"/admin/reload served {new} instead of {wanted}"


def _overlap(answer: Answer, span: tuple[float, float]) -> bool:
    return answer.start < span[1] and answer.start + answer.milliseconds / 1e3 > span[0]


def _bodies(words: list[list[str]], n_texts: int | None) -> Iterator[bytes]:
    texts = unique_texts(words, _SEED)
    if n_texts is None:
        return (orjson.dumps({"text": text, "k": K}) for text in texts)
    kept = [orjson.dumps({"text": next(texts), "k": K}) for _ in range(n_texts)]
    return (kept[number % n_texts] for number in count())


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    command.run(main)
