"""What nights cost beside the first build: one where nothing changed, and one where 1 % of the texts did.

`python -m benchmarks.nightly --shop demo` copies a folder with a recall.toml and JSON lines, without its artifacts,
builds it, and runs both nights with the real encoder. Exit 0 within the bounds (15 % of the first build; 5 % of its
encode stage), 1 not.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.machine import this_machine
from index_builder.build import build
from index_builder.config import BuildConfig, load_config
from index_builder.nightly import nightly

_UNCHANGED, _CHANGED = 0.15, 0.05
_EACH = 100  # one text of so many changes
_console = Console(width=None if sys.stdout.isatty() else 180)


def change_texts(config: BuildConfig) -> int:
    """Adds a word to the text of every hundredth item; returns how many those are."""
    path, field = config.catalogue.path, config.catalogue.text[0]
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows[::_EACH]:
        row[field] = f"{row[field]} renewed"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return len(rows[::_EACH])


def timed(what: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """Returns the seconds that it took, and those of its stages."""
    start = time.perf_counter()
    stages = what()
    return time.perf_counter() - start, stages


def main(
    shop: Annotated[Path, typer.Option(exists=True, help="A folder with a recall.toml and its tables.")] = Path("demo"),
    save: Annotated[bool, typer.Option("--save", help="Add rows to RESULTS.md.")] = False,
) -> None:
    """Builds, lives through both nights, and prints what they took."""
    machine = this_machine()
    with tempfile.TemporaryDirectory(dir=shop.resolve().parent) as name:
        folder = Path(name) / "shop"
        shutil.copytree(shop, folder, ignore=shutil.ignore_patterns("artifacts"))
        config = load_config(folder / "recall.toml")
        runs = {"first build": timed(lambda: build(config).seconds)}
        runs["unchanged night"] = timed(lambda: nightly(config).report.seconds)
        n_changed = change_texts(config)
        # The figures are of the work; whether the gate would let it through is another question.
        runs[f"night with {n_changed} texts changed"] = timed(lambda: nightly(config, force=True).report.seconds)
    first, first_stages = runs["first build"]
    table = Table("run", "seconds", "of the first build", "encode", "of the first encode", "stages", box=None)
    rows = []
    for run, (seconds, stages) in runs.items():
        encode = stages.get("encode", 0.0)
        cells = (f"{seconds:.2f}", f"{seconds / first:.1%}", f"{encode:.2f}", f"{encode / first_stages['encode']:.1%}")
        shown = ", ".join(f"{stage} {took:.1f}" for stage, took in stages.items())
        table.add_row(run, *cells, shown)
        rows.append((run, f"{cells[0]} s, {cells[1]} of the first; encode {cells[2]} s, {cells[3]}; {shown}"))
    _console.print(table)
    (unchanged, _), (_, changed_stages) = list(runs.values())[1:]
    shares = (unchanged / first, changed_stages["encode"] / first_stages["encode"])
    good = shares[0] <= _UNCHANGED and shares[1] <= _CHANGED
    verdict = (
        f"an unchanged night takes {shares[0]:.1%} of the first build, target {_UNCHANGED:.0%}; with {n_changed} texts"
        f" changed the encode stage takes {shares[1]:.1%} of the first's, target {_CHANGED:.0%}:"
        f" {'held' if good else 'MISSED'}"
    )
    _console.print(verdict, highlight=False)
    if save:
        results.append(machine, "nightly", [*rows, ("verdict", verdict)])
    if not good:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
