"""POST /recall over HTTP: this service, cache cold and warm, beside the textbook service and an empty route.

`python -m benchmarks.recall_http` starts them, loads one at a time in turns, checks every answer, prints one table.
Exit 0 done, 1 failed answers or nothing to measure, 2 bad usage.
"""

import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from benchmarks import results
from benchmarks.load import Check, Round, Target, ask, candidates_check, measure, run, status_check
from benchmarks.machine import this_machine
from benchmarks.recall_table import Measurement, figures, table
from benchmarks.servers import empty_route, recall_service, textbook_service
from benchmarks.texts import item_words, unique_texts
from index_builder.progress import progress
from models.artifact import read_manifest
from models.artifact_store import ArtifactStore
from models.errors import ArtifactMissingError, RecallError
from models.manifest import Manifest

K = 100
ROUNDS = 3
WARM_TEXTS = 256
QUALITY_TEXTS = 50
DEMO = Path("demo/artifacts")

_TEXTBOOK = "textbook"
_SEED = 1

_console = Console(width=None if sys.stdout.isatty() else 180)


@dataclass(frozen=True, slots=True)
class Bodies:
    """Requests, the same for every service.

    Attributes:
        quality: Whose candidates are compared.
        warm: Asked again and again.
        fresh: Without end, each asked once.
    """

    quality: list[bytes]
    warm: list[bytes]
    fresh: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Subject:
    """What one row measures.

    Attributes:
        name: The row's.
        target: Who is asked.
        check: What a good answer is.
        bodies: Requests without end.
        before: Asked before each round.
    """

    name: str
    target: Target
    check: Check
    bodies: Iterator[bytes]
    before: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Quality:
    """How much of the textbook's candidates ours are.

    Attributes:
        overlap: Mean share over the texts.
        failures: How often each reason occurred, on both sides.
    """

    overlap: float
    failures: Counter[str]


def main(
    artifacts: Annotated[Path, typer.Option(metavar="DIR", help="Artifacts folder; its live one is served.")] = DEMO,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each round; there are 3 of each row.")] = 5.0,
    connections: Annotated[str, typer.Option(metavar="N,N", help="How many ask at the same time.")] = "1,8",
    save: Annotated[bool, typer.Option("--save", help="Add the rows to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Measures POST /recall beside the textbook service and an empty route."""
    numbers = _numbers(connections)
    folder = _live_artifact(artifacts)
    manifest = read_manifest(folder)
    k = min(K, manifest.index.n_items)
    machine = this_machine()
    _console.print(f"{machine}; load {machine.load:.1f}; commit {machine.commit}; {machine.date}", highlight=False)
    _console.print(_artifact_line(manifest), highlight=False)
    if machine.busy:
        _console.print(
            f"[yellow]other work uses the machine (load {machine.load:.1f}): even the ratios are coarse now[/]"
        )
    measurements, quality = _measure(artifacts, folder, k=k, connections=numbers, seconds=seconds)
    _console.print(table(measurements, k))
    failures = sum((row.failures for row in measurements), Counter(quality.failures))
    if failures:
        reasons = "; ".join(f"{n} × {reason}" for reason, n in failures.most_common(10))
        _console.print(f"[bold white on red] {failures.total()} FAILED ANSWERS: {reasons} [/]", highlight=False)
        if save:
            _console.print("nothing was saved: figures of a run with failures mislead")
        raise typer.Exit(1)
    if save:
        rows = ((f"{row.name}, {_connections(row.connections)}", figures(row, k)) for row in measurements)
        results.append(machine, "recall_http", rows)
        _console.print(f"{len(measurements)} rows were added to {results.RESULTS}", highlight=False)


def _measure(
    artifacts: Path, folder: Path, *, k: int, connections: Sequence[int], seconds: float
) -> tuple[list[Measurement], Quality]:
    """Starts everything, loads one at a time, stops everything."""
    words = item_words(folder)
    with ExitStack() as running:
        ours = running.enter_context(recall_service(artifacts)).recall
        textbook = running.enter_context(textbook_service(folder)).recall
        empty = running.enter_context(empty_route()).recall
        asked, asked_too = _bodies(words, k), _bodies(words, k)
        quality = run(_compare(ours, textbook, asked.quality, k=k))
        subjects = (
            Subject("ours, cold", ours, candidates_check(k, cache="miss"), asked.fresh),
            Subject("ours, warm", ours, candidates_check(k, cache="hit"), cycle(asked.warm), asked.warm),
            Subject(_TEXTBOOK, textbook, candidates_check(k), asked_too.fresh),
            Subject("empty route", empty, status_check, cycle(asked.warm)),
        )
        rounds: defaultdict[tuple[str, int], list[Round]] = defaultdict(list)
        plan = list(product(range(ROUNDS), connections, subjects))  # in turns: noise then meets all sides alike
        with progress("measuring", len(plan)) as advance:
            for _, n, subject in plan:
                rounds[subject.name, n].append(run(_round(subject, connections=n, seconds=seconds)))
                advance(1)
    return [
        Measurement(
            name=subject.name,
            connections=n,
            rounds=rounds[subject.name, n],
            textbook=rounds[_TEXTBOOK, n],
            overlap=quality.overlap if subject.target == ours else None,
        )
        for n in connections
        for subject in subjects
    ], quality


async def _round(subject: Subject, *, connections: int, seconds: float) -> Round:
    """Warms up with the same load, then measures."""
    await ask(subject.target, subject.before, connections=connections)
    await ask(subject.target, subject.bodies, connections=connections, seconds=min(1.0, seconds / 4))
    return await measure(subject.target, subject.bodies, subject.check, connections=connections, seconds=seconds)


async def _compare(ours: Target, textbook: Target, bodies: Sequence[bytes], *, k: int) -> Quality:
    """Asks both sides the same, one after the other."""
    check = candidates_check(k)
    found, expected = await ask(ours, bodies), await ask(textbook, bodies)
    reasons = [answer.error or check(answer) for answer in found + expected]
    failures = Counter(f"comparing candidates: {reason}" for reason in reasons if reason is not None)
    if failures:
        return Quality(float("nan"), failures)
    shared = [len(_ids(own.body) & _ids(other.body)) / k for own, other in zip(found, expected, strict=True)]
    return Quality(sum(shared) / len(shared), failures)


def _ids(body: bytes) -> set[str]:
    return {candidate["id"] for candidate in orjson.loads(body)["candidates"]}


def _bodies(words: Sequence[Sequence[str]], k: int) -> Bodies:
    bodies = (orjson.dumps({"text": text, "k": k}) for text in unique_texts(words, _SEED))
    return Bodies(list(islice(bodies, QUALITY_TEXTS)), list(islice(bodies, WARM_TEXTS)), bodies)


def _live_artifact(artifacts: Path) -> Path:
    try:
        return ArtifactStore(artifacts).folder()
    except ArtifactMissingError:
        raise ArtifactMissingError(
            f"{artifacts} has no live artifact to measure; `make run` builds the demo's in {DEMO}, or name another"
            " artifacts folder with --artifacts DIR"
        ) from None


def _artifact_line(manifest: Manifest) -> str:
    index, encoder = manifest.index, manifest.encoder
    learnt = manifest.matching.kind == "fused" or manifest.relation_head.trained
    matching = "learnt: overlap says how much that changes" if learnt else "zero-shot, as the textbook's"
    return (
        f"artifact {manifest.artifact_id}: {index.n_items} items, {index.kind} index, {encoder.name},"
        f" queries by {encoder.query_runtime}, matching {matching}"
    )


def _numbers(connections: str) -> list[int]:
    try:
        numbers = [int(number) for number in connections.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"{connections!r} is no list such as 1,8", param_hint="--connections")
    return sorted(set(numbers))


def _connections(n: int) -> str:
    return f"{n} connection{'s' if n > 1 else ''}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the services are stopped then, too
    try:
        typer.run(main)
    except RecallError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
