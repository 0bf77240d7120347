"""POST /recall over HTTP: this service, cache cold and warm, beside the textbook service, txtai's API, an empty route.

`python -m benchmarks.recall_http` starts them, loads one at a time in turns, checks every answer, and prints what was
measured and one table of targets. Exit 0 done, 1 failed answers or nothing to measure, 2 bad usage.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import command, results, speed_targets
from benchmarks.machine import this_machine
from benchmarks.recall_rounds import measure_all
from benchmarks.recall_table import figures, table
from models.artifact import read_manifest
from models.artifact_store import ArtifactStore
from models.errors import ArtifactMissingError
from models.manifest import Manifest

K = 100
DEMO = Path("demo/artifacts")

_console = Console(width=None if sys.stdout.isatty() else 180)


def main(
    artifacts: Annotated[Path, typer.Option(metavar="DIR", help="Artifacts folder; its live one is served.")] = DEMO,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each round; there are 3 of each row.")] = 5.0,
    connections: Annotated[str, typer.Option(metavar="N,N", help="How many ask at the same time.")] = "1,8",
    txtai: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Environment by scripts/txtai_venv.sh: measures its API, too.")
    ] = None,
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
    measured = measure_all(artifacts, folder, k=k, connections=numbers, seconds=seconds, txtai=txtai)
    found = speed_targets.verdicts(measured.speed, manifest)
    _console.print(table(measured.rows, k))
    _console.print(speed_targets.table(found))
    failures = measured.failures
    if failures:
        reasons = "; ".join(f"{n} × {reason}" for reason, n in failures.most_common(10))
        _console.print(f"[bold white on red] {failures.total()} FAILED ANSWERS: {reasons} [/]", highlight=False)
        if save:
            _console.print("nothing was saved: figures of a run with failures mislead")
        raise typer.Exit(1)
    if save:
        rows = [(f"{row.name}, {_connections(row.connections)}", figures(row, k)) for row in measured.rows]
        rows += [(f"target: {one.measure}", one.line()) for one in found]
        results.append(machine, "recall_http", rows)
        _console.print(f"{len(rows)} rows were added to {results.RESULTS}", highlight=False)


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
        f" queries by {encoder.query_runtime}, matching {matching},"
        f" head acts by {', '.join(manifest.relation_head.situations)}"
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
    command.run(main)
