"""Builders and nights killed at random moments: is the live artifact sound, and does each event count once?

`python -m benchmarks.nightly_kill` kills builds and nights of a made-up shop with the tests' encoder, 200 in all, each
at a seeded step that it makes in the file system or the log, and lets the next night follow. Exit 0 all is well, 1 not.
"""

import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.machine import this_machine
from index_builder.progress import progress
from tests.index_builder.night_deaths import N_EVENTS, Left, kill, prepared, what_is_left
from tests.index_builder.nights import Shop

KILLERS = {"build": "tests.killed_builder", "night": "tests.killed_night"}
_AT_ONCE = 10  # processes after one another that share an import
_console = Console(width=None if sys.stdout.isatty() else 180)


def kill_and_look(shop: Shop, what: str, *, kills: int, seed: int, folder: Path) -> list[Left]:
    """Returns what each death left.

    Args:
        shop: Where they work; copied for each.
        what: "build" or "night".
        kills: How many.
        seed: Of the moments.
        folder: For the copies.
    """
    live, found = shop.store.current_id(), []
    total = int(kill(KILLERS[what], [(shop.copy(folder / f"{what}-whole"), 0)]))
    rng = random.Random(seed)
    moments = [rng.randint(1, total) for _ in range(kills)]
    with progress(f"killing {what}s", kills) as advance:
        for start in range(0, kills, _AT_ONCE):
            group = [
                (shop.copy(folder / f"{what}-{start + number}"), moment)
                for number, moment in enumerate(moments[start : start + _AT_ONCE])
            ]
            kill(KILLERS[what], group)
            found += [what_is_left(copy, live) for copy, _ in group]
            advance(len(group))
    return found


def main(
    kills: Annotated[int, typer.Option(min=1, help="Builds and nights, half each.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
    save: Annotated[bool, typer.Option("--save", help="Add rows to RESULTS.md.")] = False,
) -> None:
    """Kills builds and nights, and prints what is left."""
    machine, figures = this_machine(), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = prepared(folder / "shop")
        for what in KILLERS:
            left = kill_and_look(shop, what, kills=kills // 2, seed=seed, folder=folder)
            figures[what] = Counter(
                kills=len(left),
                after_the_swap=sum(one.swapped for one in left),
                live_not_sound=sum(not one.live_is_sound for one in left),
                next_not_complete=sum(not one.completed for one in left),
                events=len(left) * N_EVENTS,
                lost=sum(one.lost for one in left),
                doubled=sum(one.doubled for one in left),
            )
    columns = list(figures["night"])
    table = Table("killed", *columns, box=None)
    for what, counts in figures.items():
        table.add_row(what, *(str(counts[column]) for column in columns))
    _console.print(table)
    if save:
        rows = [
            (what, ", ".join(f"{key}={value}" for key, value in counts.items())) for what, counts in figures.items()
        ]
        results.append(machine, "nightly_kill", rows)
    bad = ("live_not_sound", "next_not_complete", "lost", "doubled")
    if any(counts[column] for counts in figures.values() for column in bad):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
