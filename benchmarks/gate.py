"""How often the gate stops a night that it shouldn't, and lets one through that it should stop.

`python -m benchmarks.gate` makes seeded shops, with a clock and without, builds each from all but the news, and
lives through a normal night and bad ones. `--shop demo` does so with a folder's own tables (JSON lines or Parquet
interactions) and the real encoder. Exit 0 where no night was misjudged, 1 else.
"""

import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.machine import this_machine
from index_builder.build import build
from index_builder.config import BuildConfig, load_config
from index_builder.nightly import nightly
from models.errors import DataError
from tests.fakes import load_fake, prepare_fake
from tests.index_builder.world_tables import write
from tests.models.training.worlds import World

Row = dict[str, Any]
Spoil = Callable[[list[Row], random.Random], list[Row]]
_NEWS = 0.02  # of the interactions
_console = Console(width=None if sys.stdout.isatty() else 180)


@dataclass(frozen=True, slots=True)
class Judged:
    """One night.

    Attributes:
        has_to_stop: Whether the gate has to stop it.
        failed: The figures that stopped it.
    """

    has_to_stop: bool
    failed: list[str]


def _dealt(share: float, item: str, rows: list[Row], rng: random.Random) -> list[Row]:
    """Deals the items of a share of the rows anew."""
    rows = [dict(row) for row in rows]
    chosen = rng.sample(rows, round(share * len(rows)))
    items = [row[item] for row in chosen]
    rng.shuffle(items)
    for row, value in zip(chosen, items, strict=True):
        row[item] = value
    return rows


def _half_the_rows(rows: list[Row], rng: random.Random) -> list[Row]:
    return rng.sample(rows, len(rows) // 2)


def _half_the_users(user: str, rows: list[Row], rng: random.Random) -> list[Row]:
    users = list(dict.fromkeys(row[user] for row in rows))
    kept = set(rng.sample(users, len(users) // 2))
    return [row for row in rows if row[user] in kept]


def nights(config: BuildConfig) -> dict[str, tuple[bool, Spoil]]:
    """Returns by name whether the gate has to stop a night, and what becomes of its interactions."""
    assert config.interactions is not None
    user, item = config.interactions.user, config.interactions.item
    return {
        "normal": (False, lambda rows, _: rows),
        "shuffled": (True, partial(_dealt, 1.0, item)),
        "half of it shuffled": (True, partial(_dealt, 0.5, item)),
        "half of the rows": (True, _half_the_rows),
        "half of the users": (True, partial(_half_the_users, user)),
        "emptied": (True, lambda _, __: []),
    }


def write_rows(rows: list[Row], path: Path) -> None:
    """Writes interactions in the form of the path's name."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path) -> list[Row]:
    """Reads interactions by the path's name."""
    if path.suffix == ".parquet":
        found: list[Row] = pq.read_table(path).to_pylist()
        return found
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def without_news(rows: list[Row], config: BuildConfig, rng: random.Random) -> list[Row]:
    """Returns all but the news: the oldest rows, or any where there is no clock."""
    assert config.interactions is not None
    n, time = round((1 - _NEWS) * len(rows)), config.interactions.time
    return sorted(rows, key=lambda row: row[time])[:n] if time is not None else rng.sample(rows, n)


def live_through(folder: Path, seed: int, names: list[str] | None, *, fake: bool) -> dict[str, Judged]:
    """Builds a shop without its news, and lives through nights of copies of it.

    Args:
        folder: With a recall.toml; its tables are changed.
        seed: Of the draws.
        names: Of the nights; None for all.
        fake: Whether the tests' encoder stands in for the real one.
    """
    more: dict[str, Any] = {"prepare": prepare_fake(0), "load": load_fake} if fake else {}
    config = load_config(folder / "recall.toml")
    assert config.interactions is not None
    rows = read_rows(config.interactions.path)
    write_rows(without_news(rows, config, random.Random(seed)), config.interactions.path)
    build(config, **more)
    found = {}
    for name, (has_to_stop, spoil) in nights(config).items():
        if names and name not in names:
            continue
        copy = folder.parent / "night"
        shutil.copytree(folder, copy, symlinks=True)
        tonight = load_config(copy / "recall.toml")
        assert tonight.interactions is not None
        write_rows(spoil(rows, random.Random(seed)), tonight.interactions.path)
        try:
            gate = nightly(tonight, **more).report.gate
            failed = [] if gate is None else [figure.name for figure in gate.figures if not figure.passed]
        except DataError:
            failed = ["the table is empty"]
        found[name] = Judged(has_to_stop, failed)
        shutil.rmtree(copy)
        _console.print(f"{folder.name}, {name}: {', '.join(failed) or 'published'}", highlight=False)
    return found


def made_shop(folder: Path, seed: int, *, clock: bool) -> None:
    """Writes a seeded shop of 600 users and 240 items."""
    folder.mkdir()
    world = World(n_themes=12, per_theme=20, n_users=600, per_user=8, ordered=clock, seed=seed)
    write(world, folder, "[gate]\nk = 10\n")


def main(
    shop: Annotated[Path | None, typer.Option(help="A folder with a recall.toml and its tables.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Shops, or draws of the shop's news.")] = 10,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
    night: Annotated[list[str] | None, typer.Option(help="Nights by name; all of them by default.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Add rows to RESULTS.md.")] = False,
) -> None:
    """Counts nights that were misjudged."""
    machine = this_machine()
    judged: dict[tuple[str, str], list[Judged]] = {}
    for seed, kind in product(range(first, first + seeds), ("clock", "no clock") if shop is None else (shop.name,)):
        with tempfile.TemporaryDirectory(dir=None if shop is None else shop.resolve().parent) as name:
            folder = Path(name) / f"{kind}, seed {seed}"
            if shop is None:
                made_shop(folder, seed, clock=kind == "clock")
            else:
                shutil.copytree(shop, folder, ignore=shutil.ignore_patterns("artifacts"))
            for which, one in live_through(folder, seed, night, fake=shop is None).items():
                judged.setdefault((kind, which), []).append(one)
    table = Table("shop", "night", "has to stop", "stopped", "figures that said so", box=None)
    rows = []
    for (kind, which), ones in judged.items():
        stopped = f"{sum(bool(one.failed) for one in ones)} of {len(ones)}"
        said = Counter(figure for one in ones for figure in one.failed)
        named = ", ".join(f"{figure} {n}" for figure, n in said.most_common()) or "no figure failed"
        table.add_row(kind, which, "yes" if ones[0].has_to_stop else "no", stopped, named)
        rows.append((f"{kind}, {which}", f"stopped {stopped}; {named}"))
    misjudged = sum(one.has_to_stop != bool(one.failed) for ones in judged.values() for one in ones)
    _console.print(table)
    _console.print(f"{misjudged} of {sum(map(len, judged.values()))} nights misjudged, target 0", highlight=False)
    if save:
        results.append(machine, "gate", rows)
    if misjudged:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
