"""Recall quality on a data set, beside every baseline: the evaluation of `python -m index_builder evaluate`, recorded.

`python -m benchmarks.quality PATH` takes a recall.toml, or a folder with items.parquet and interactions.parquet, for
which it writes one; the data stays where it is. With --work it builds first, once, so that the next run has embeddings.
Exit 0 done, 1 failed, 2 bad usage.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet as pq
import typer
from pyarrow import Table, array, compute
from rich.console import Console

from benchmarks import command, results
from benchmarks.machine import this_machine
from index_builder.build import build
from index_builder.config import load_config
from index_builder.evaluate import evaluate
from index_builder.evaluation_page import comparison_line, render_page, tables
from models.artifact_store import ArtifactStore
from models.training.evaluate import COLD
from models.training.evaluation import Evaluation, RankerResult
from models.training.judge import CUTOFFS
from models.training.split import Task

_POSITION = "position"
_CREATED = "created"
_TIMES = ("timestamp", _POSITION)  # the first that holds anything
_console = Console(width=None if sys.stdout.isatty() else 200)


def main(
    path: Annotated[Path, typer.Argument(help="recall.toml, or a folder with items.parquet and interactions.parquet.")],
    text: Annotated[list[str] | None, typer.Option(help="Text columns of the items.")] = None,
    leave_out: Annotated[str | None, typer.Option(metavar="COLUMN=VALUE", help="Interactions not to read.")] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Hold each user's last event out, whatever time it is: many more cases.")
    ] = False,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keeps a build, whose embeddings the next run reuses.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Add rows to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Evaluates recall quality and prints it."""
    machine = this_machine()
    name = path.parent.name if path.is_file() else path.name
    with _work_folder(work) as folder:
        toml = path if path.is_file() else write_toml(path, folder, text or ["text"], leave_out, last=last)
        config = load_config(toml)
        if work is not None and path.is_dir() and ArtifactStore(config.publish.artifacts).current_id() is None:
            build(config)
        evaluation = evaluate(config)
    for table in tables(evaluation):
        _console.print(table)
    for comparison in evaluation.comparisons:
        _console.print(comparison_line(comparison), highlight=False)
    for row in rows(name, evaluation):
        _console.print(" | ".join(row), highlight=False)
    if json_file is not None:
        json_file.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if html is not None:
        html.write_text(render_page(evaluation, title=f"Recall quality on {name}"), encoding="utf-8")
    if save:
        results.append(machine, "quality", rows(name, evaluation))


def write_toml(data: Path, folder: Path, text: list[str], leave_out: str | None, *, last: bool = False) -> Path:
    """Writes a recall.toml for a folder of two tables and returns its path.

    Args:
        data: Has items.parquet and interactions.parquet.
        folder: For recall.toml and artifacts, and for interactions where they are changed.
        text: Text columns of the items.
        leave_out: `column=value` of interactions not to read.
        last: Writes positions in each user's own sequence instead of times, so that everybody's last event is asked
            for; what others did later is then in the past, which a clock would forbid.
    """
    interactions = data / "interactions.parquet"
    table = pq.read_table(interactions)
    if leave_out is not None:
        column, _, value = leave_out.partition("=")
        table = table.filter(compute.not_equal(table[column], value))
    time = next((column for column in _TIMES if _holds_anything(table, column)), None)
    if last and time is not None:
        table, time = _with_positions(table, time), _POSITION
    if last or leave_out is not None:
        interactions = folder / "interactions.parquet"
        pq.write_table(table, interactions)
    keys = {"path": str(interactions.resolve())}
    if time is not None:
        keys["time"] = time
    if _holds_anything(table, "text"):
        keys["text"] = "text"
    lines = ["[catalogue]", f"path = {json.dumps(str((data / 'items.parquet').resolve()))}", f"text = {text}"]
    lines += [f"time = {json.dumps(_CREATED)}"] if _CREATED in pq.read_schema(data / "items.parquet").names else []
    lines += ["[interactions]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    lines += ["[learning]", "enabled = true", "[encoder]", 'query_runtime = "openvino-f32"  # its choice takes minutes']
    toml = folder / "recall.toml"
    toml.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return toml


def rows(name: str, evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yields the rows of the record: each ranker by task, cold items, the comparisons, what the product costs."""
    data = evaluation.data
    for task, n_cases in data.n_cases.items():
        for ranker in evaluation.rankers:
            if (result := ranker.tasks.get(task)) is not None:
                recall = " ".join(f"R@{k} {result.figures[f'recall@{k}']:.4f}" for k in CUTOFFS)
                others = f"N@10 {result.figures['ndcg@10']:.4f}, coverage@50 {result.figures['coverage@50']:.3f}"
                yield f"{name}, {task}, {ranker.name}", f"{recall}, {others}; {n_cases} cases, holdout {data.holdout}"
    for task in data.n_cases:
        yield from _cold_rows(name, task, evaluation.rankers)
    for comparison in evaluation.comparisons:
        yield f"{name}, comparison", comparison_line(comparison)
    if (cost := evaluation.cost) is not None:
        yield (
            f"{name}, cost of the product",
            f"learnt in {cost.training_seconds:.1f} s, peak memory {cost.peak_memory_bytes / 1e9:.2f} GB,"
            f" artifact {cost.artifact_bytes / 1e6:.1f} MB",
        )


def _cold_rows(name: str, task: Task, rankers: Sequence[RankerResult]) -> Iterator[tuple[str, str]]:
    """Yields what each ranker knows of items without users, if any were asked for."""
    for ranker in rankers:
        slices = ranker.tasks[task].slices if task in ranker.tasks else {}
        if (cold := slices.get(COLD)) is not None:
            recall = " ".join(f"R@{k} {cold.recall[k]:.4f}" for k in CUTOFFS)
            yield f"{name}, {task}, {ranker.name}, {COLD}", f"{recall}; {cold.n_cases} cases"


def _with_positions(table: Table, time: str) -> Table:
    """Returns the rows by user and time, with a column of places in the user's sequence from 0; ties by item."""
    table = table.sort_by([("user_id", "ascending"), (time, "ascending"), ("item_id", "ascending")])
    users = table["user_id"].to_numpy()
    starts = np.flatnonzero(np.append(True, users[1:] != users[:-1]))
    lengths = np.diff(np.append(starts, len(users)))
    places = array(np.arange(len(users)) - np.repeat(starts, lengths))
    kept = table.drop_columns([_POSITION]) if _POSITION in table.column_names else table
    return kept.append_column(_POSITION, places)


def _holds_anything(table: Table, column: str) -> bool:
    return column in table.column_names and table[column].null_count < len(table)


@contextmanager
def _work_folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


if __name__ == "__main__":
    command.run(main)
