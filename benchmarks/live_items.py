"""What live items cost: `python -m benchmarks.live_items`. Exit 0 within the bound, 1 over it or failed answers.

Two services over one artifact are loaded in turns with texts never seen before, one of them with 10,000 live items; and
an item that one process takes is waited for in another that shares its state.
"""

import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
import typer
from rich.console import Console

from benchmarks import command, results
from benchmarks.load import Round, Target, ask, candidates_check, measure, run
from benchmarks.machine import this_machine
from benchmarks.servers import recall_service
from benchmarks.texts import item_words, unique_texts
from benchmarks.twin import make_twins
from models.artifact import open_artifact
from models.artifact_store import ArtifactStore
from models.live_items import Change, KnownVector
from models.live_stores import open_live_store
from models.query_encoder import open_query_encoder
from models.text import text_hash

K = 100
DEMO = Path("demo/artifacts")
MAX_COST = 0.20
MAX_SECONDS = 1.0
ROUNDS = 5
_SEED = 5
_PAGE = 1_000

_console = Console(width=None if sys.stdout.isatty() else 180)


def main(
    artifacts: Annotated[Path, typer.Option(metavar="DIR", help="Artifacts folder; its live one is used.")] = DEMO,
    items: Annotated[int, typer.Option(min=1, help="Live items.")] = 10_000,
    connections: Annotated[int, typer.Option(min=1, help="How many ask at the same time.")] = 8,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each round; there are 5 of each side.")] = 4.0,
    save: Annotated[bool, typer.Option("--save", help="Add the row to benchmarks/RESULTS.md.")] = False,
) -> None:
    """Measures uncached throughput with and without live items, and how soon an item is everywhere."""
    machine = this_machine()
    _console.print(f"{machine}; load {machine.load:.1f}; commit {machine.commit}; {machine.date}", highlight=False)
    folder = ArtifactStore(artifacts).folder()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".live-") as name, ExitStack() as running:
        root, state = Path(name) / "artifacts", Path(name) / "state"
        root.mkdir()
        ArtifactStore(root).activate(make_twins(folder, root)[1])
        n_known = fill(ArtifactStore(root).folder(), state, items)
        settings = {"RECALL_STATE": str(state)}
        plain = running.enter_context(recall_service(root, {"RECALL_STATE": f"{name}/empty"})).recall
        live = running.enter_context(recall_service(root, settings)).recall
        bodies = (orjson.dumps({"text": text, "k": K}) for text in unique_texts(item_words(folder), _SEED))
        rounds: dict[str, list[Round]] = {"plain": [], "live": []}
        check = candidates_check(K, cache="miss")
        for _ in range(ROUNDS):
            for side, target in (("plain", plain), ("live", live)):
                run(ask(target, bodies, connections=connections, seconds=min(1.0, seconds / 4)))
                rounds[side].append(run(measure(target, bodies, check, connections=connections, seconds=seconds)))
        other = running.enter_context(recall_service(root, settings)).recall
        delays = sorted(until_recalled(live, other, number) for number in range(10))
    cost = 1 - float(
        np.median([a.per_second / b.per_second for a, b in zip(rounds["live"], rounds["plain"], strict=True)])
    )
    failures = sum((one.failures for side in rounds.values() for one in side), Counter[str]())
    per_second = {side: float(np.median([one.per_second for one in group])) for side, group in rounds.items()}
    line = (
        f"{per_second['plain']:.0f} req/s without, {per_second['live']:.0f} with {n_known} live items, which cost"
        f" {100 * cost:.1f} %; {failures.total()} failures; an item put into one process is recalled by another after"
        f" {delays[5]:.2f} s (median), {delays[-1]:.2f} s at most"
    )
    good = not failures and cost <= MAX_COST and delays[-1] <= MAX_SECONDS
    line += f"; targets {MAX_COST:.0%} and {MAX_SECONDS:.0f} s: {'held' if good else 'MISSED'}"
    _console.print(line, highlight=False)
    for reason, n in failures.most_common(10):
        _console.print(f"{n} × {reason}", highlight=False)
    if save:
        results.append(machine, "live_items", [(f"{n_known} live items, {connections} connections", line)])
    if not good:
        raise typer.Exit(1)


def fill(folder: Path, state: Path, n_items: int) -> int:
    """Stores live items, with embeddings near the catalogue's so that nothing has to be encoded; returns how many."""
    artifact = open_artifact(folder)
    runtime = open_query_encoder(artifact, threads=1).runtime
    space = f"{artifact.manifest.encoder.fingerprint}:{runtime}"
    rng = np.random.default_rng(_SEED)
    store = open_live_store(str(state))
    for start in range(0, n_items, _PAGE):
        changes = []
        for number in range(start, min(start + _PAGE, n_items)):
            vector = artifact.embeddings[rng.integers(len(artifact.embeddings))] + 0.02 * rng.standard_normal(
                artifact.embeddings.shape[1]
            )
            text = f"live item number {number}"
            known = KnownVector(space, text_hash(text), (vector / np.linalg.norm(vector)).astype(np.float32))
            changes.append(Change(f"live-{number}", {artifact.manifest.text_fields[0]: text}, known))
        store.put(changes)
    store.close()
    return n_items


def until_recalled(here: Target, there: Target, number: int) -> float:
    """Returns the seconds from sending a new item to one process until another one recalls it."""
    item_id, words = f"gadget-{number}", f"unheard-of gadget {number} zyzzyva"
    with urllib.request.urlopen(f"http://127.0.0.1:{here.port}/info") as response:
        field = orjson.loads(response.read())["artifact"]["text_fields"][0]
    request = urllib.request.Request(
        f"http://127.0.0.1:{here.port}/items",
        orjson.dumps({"items": [{"id": item_id, field: words}]}),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    body = orjson.dumps({"text": words, "k": 5})
    start = time.perf_counter()
    urllib.request.urlopen(request).close()
    while True:
        (answer,) = run(ask(there, [body]))
        if item_id in answer.body.decode():
            return time.perf_counter() - start


if __name__ == "__main__":
    command.run(main)
