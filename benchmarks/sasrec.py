"""RecTools' SASRec on the very split of `benchmarks.quality`: histories → what is consumed next, full ranking.

`python -m benchmarks.sasrec PATH --rectools DIR`, where `scripts/rectools_venv.sh DIR` made the environment: its pins
don't go together with ours. --evaluation FILE, which `benchmarks.quality --json` wrote on the same data, prints the
product beside it. Exit 0 done, 1 failed, 2 bad usage.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import ROOT, command, results
from benchmarks.machine import this_machine
from benchmarks.quality import write_toml
from index_builder.config import load_config
from index_builder.contents import text_recipe
from index_builder.inputs import read_inputs
from models.errors import ConfigError, DataError
from models.training.evaluate import past_and_future
from models.training.evaluation import Evaluation
from models.training.interactions import Interactions
from models.training.judge import CUTOFFS, judge, rank_by_scores
from models.training.split import Case, draw, events_by_user, split
from models.types import Matrix, Rows, Vector

_SEED = 0
_MAX_CASES = 10_000


class _ByPopularity:
    def __init__(self, popularity: Vector) -> None:
        self._popularity = popularity

    def scores(self, cases: Sequence[Case]) -> Matrix:
        return np.tile(self._popularity, (len(cases), 1))


def main(
    path: Annotated[Path, typer.Argument(help="recall.toml, or a folder with items.parquet and interactions.parquet.")],
    rectools: Annotated[Path, typer.Option(metavar="DIR", help="Environment by scripts/rectools_venv.sh.")],
    leave_out: Annotated[str | None, typer.Option(metavar="COLUMN=VALUE", help="Interactions not to read.")] = None,
    last: Annotated[bool, typer.Option("--last", help="Hold each user's last event out.")] = False,
    evaluation: Annotated[Path | None, typer.Option(metavar="FILE", help="Of benchmarks.quality --json.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Add rows to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Fits SASRec on the past and prints how it finds the future."""
    machine = this_machine()
    name = path.parent.name if path.is_file() else path.name
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        toml = path if path.is_file() else write_toml(path, folder, ["text"], leave_out, last=last)
        interactions, n_items = _read(toml, folder)
        held_out = past_and_future(interactions, seed=_SEED)
        cases = _asked(held_out.cases)
        validation = split(held_out.past, seed=_SEED)
        write_events(folder / "test.npz", held_out.past, cases)
        write_events(folder / "validation.npz", validation.past, _asked(validation.cases))
        command = [str(rectools.resolve() / "bin" / "python"), str(ROOT / "benchmarks" / "sasrec_fit.py"), str(folder)]
        if subprocess.run(command).returncode:
            raise DataError("SASRec could not be fitted; its own lines above say why")
        ranked: Rows = np.load(folder / "ranked.npy")
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    popularity = held_out.past.popularity(n_items)
    found = list(rows(name, ranked, cases, popularity, holdout=held_out.holdout))
    found.append((f"{name}, SASRec, cost", f"{facts['epochs']} epochs, chosen and fitted in {facts['seconds']:.0f} s"))
    if evaluation is not None:
        found += product_rows(name, evaluation, n_past=len(held_out.past), n_cases=len(cases))
    for row in found:
        print(" | ".join(row))
    if save:
        results.append(machine, "sasrec", found)


def rows(
    name: str, ranked: Rows, cases: Sequence[Case], popularity: Vector, *, holdout: str
) -> Iterator[tuple[str, str]]:
    """Yields SASRec's row, and popularity's, which is the same as in `benchmarks.quality` where the split is.

    Args:
        name: Of the data set.
        ranked: Of each case, shape `(n_cases, 100)`.
        cases: What was asked.
        popularity: Of the items in the past.
        holdout: The kind.
    """
    no_texts = np.ones((len(popularity), 1), np.float32)  # diversity is not shown
    plain = rank_by_scores(_ByPopularity(popularity), cases, max(CUTOFFS))
    for ranker, lists in (("SASRec", ranked), ("popularity", plain)):
        figures = judge(lists, cases, popularity=popularity, embeddings=no_texts).figures
        recall = " ".join(f"R@{k} {figures[f'recall@{k}']:.4f}" for k in CUTOFFS)
        others = f"N@10 {figures['ndcg@10']:.4f}, coverage@50 {figures['coverage@50']:.3f}"
        yield f"{name}, history, {ranker}", f"{recall}, {others}; {len(cases)} cases, holdout {holdout}"


def product_rows(name: str, path: Path, *, n_past: int, n_cases: int) -> list[tuple[str, str]]:
    """Returns the product's row of an evaluation of the same split.

    Raises:
        DataError: It is of another split.
    """
    evaluation = Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
    data = evaluation.data
    if (data.n_past, data.n_cases.get("history")) != (n_past, n_cases):
        raise DataError(
            f"{path} judges {data.n_cases.get('history')} histories on {data.n_past} events, this split has {n_cases}"
            f" on {n_past}; evaluate the same data the same way"
        )
    figures = evaluation.rankers[0].tasks["history"].figures
    recall = " ".join(f"R@{k} {figures[f'recall@{k}']:.4f}" for k in CUTOFFS)
    return [(f"{name}, history, {evaluation.rankers[0].name}", f"{recall}; of {path.name}, same split")]


def write_events(path: Path, past: Interactions, cases: Sequence[Case]) -> None:
    """Writes what `benchmarks/sasrec_fit.py` reads: events to fit on, histories to ask with, right answers."""
    events = events_by_user(past)
    histories = [case.history for case in cases]
    np.savez(
        path,
        users=np.concatenate([np.full(len(event.items), user) for user, event in events.items()]),
        items=np.concatenate([event.items for event in events.values()]),
        places=np.concatenate([np.arange(len(event.items)) for event in events.values()]),
        asked=np.concatenate([np.full(len(history), number) for number, history in enumerate(histories)]),
        history=np.concatenate(histories),
        case=np.concatenate([np.full(len(case.targets), number) for number, case in enumerate(cases)]),
        target=np.concatenate([case.targets for case in cases]),
    )


def _asked(cases: Sequence[Case]) -> list[Case]:
    """Returns the cases of `benchmarks.quality` that have a history: SASRec reads nothing else."""
    return [case for case in draw(cases, "history", _MAX_CASES, _SEED) if len(case.history)]


def _read(toml: Path, folder: Path) -> tuple[Interactions, int]:
    config = load_config(toml)
    inputs = read_inputs(config, text_recipe(config.text), rejects=folder / "rejects")
    if inputs.interactions is None:
        raise ConfigError(f"{toml} has no [interactions], and SASRec knows nothing else; add the section")
    return inputs.interactions, len(inputs.catalogue.items)


if __name__ == "__main__":
    command.run(main)
