"""Where the time of a request goes: CPU microseconds by stage, in one run.

`python -m benchmarks.stages` runs the stages one by one in this process, then asks a service, cache cold and warm, and
an empty route for what the processes use a request: what is left of a cached request after its stages is HTTP and the
service itself. CPU time is what a request costs whatever else the machine does. `python -m benchmarks.without_library
benchmarks.stages` does the same where numpy does what is compiled.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Annotated, TypeVar

import numpy as np
import orjson
import typer
from threadpoolctl import threadpool_limits

from benchmarks.load import ask, run
from benchmarks.machine import this_machine
from benchmarks.recall_http import DEMO, K
from benchmarks.servers import Server, empty_route, recall_service
from benchmarks.texts import item_words, unique_texts
from models.artifact import Artifact, open_artifact
from models.artifact_store import ArtifactStore
from models.encoder import Encoder
from models.native.library import LIBRARY
from models.query_encoder import open_query_encoder
from models.recaller import Recaller, UserQuery, pool_size

_TEXTS = 200
_REQUESTS = 600
_SEED = 5
_T = TypeVar("_T")


class _Laps:
    """CPU time of this thread by stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def lap(self, stage: str, work: Callable[..., _T], *arguments: object, **options: object) -> _T:
        start = time.thread_time()
        found = work(*arguments, **options)
        self.seconds[stage].append(time.thread_time() - start)
        return found


def main(artifacts: Annotated[Path, typer.Option(metavar="DIR", help="Artifacts folder.")] = DEMO) -> None:
    """Prints the table of docs/speed.md."""
    folder, machine = ArtifactStore(artifacts).folder(), this_machine()
    texts = unique_texts(item_words(folder), _SEED)
    artifact = open_artifact(folder)
    with threadpool_limits(1):  # as in the service
        laps = _stages(artifact, open_query_encoder(artifact, threads=1), islice(texts, _TEXTS))
    with recall_service(artifacts) as ours, empty_route() as empty:
        bodies = (orjson.dumps({"text": text, "k": K}) for text in texts)
        warm = list(islice(bodies, 64))
        run(ask(ours.recall, warm))
        whole = {
            "a request, text never seen": _cpu_of(ours, islice(bodies, _REQUESTS)),
            "a request, text seen before": _cpu_of(ours, islice(cycle(warm), _REQUESTS)),
            "an empty FastAPI route": _cpu_of(empty, islice(cycle(warm), _REQUESTS)),
        }
    print(f"{machine}; load {machine.load:.1f}; commit {machine.commit}; {machine.date}")
    print("compiled" if LIBRARY is not None else "numpy alone")
    print(f"artifact {folder.name}: {artifact.manifest.index.n_items} items, D = {artifact.manifest.index.dim}")
    print("| stage | CPU µs |\n|---|---|")
    for stage, seconds in {**{name: median(taken) for name, taken in laps.seconds.items()}, **whole}.items():
        print(f"| {stage} | {1e6 * seconds:,.0f} |")


def _stages(artifact: Artifact, encoder: Encoder, texts: Iterator[str]) -> _Laps:
    laps, recaller = _Laps(), Recaller(artifact)
    none, no_weights = np.empty(0, np.int64), np.empty(0, np.float32)
    for text in texts:
        clean = laps.lap("clean", artifact.manifest.text_recipe.clean, text)
        vector, _ = laps.lap("encode: tokenise and infer, one thread", encoder.encode_user, clean)
        known = laps.lap("words of the text", artifact.text_vectors, vector[None], [clean])
        query = UserQuery(known, none, no_weights, none, K)
        sought = laps.lap("user vector", recaller.sought, query)
        pool = laps.lap("search: a pool of 500", recaller.search, replace(query, sought=sought), size=pool_size(K))
        laps.lap("rescore the pool", recaller.rescore, pool, K)
    return laps


def _cpu_of(server: Server, bodies: Iterator[bytes]) -> float:
    """Returns the CPU seconds that a server's process used a request, system time included."""
    before = _cpu_seconds(server.pid)
    answers = run(ask(server.recall, bodies))
    assert all(answer.status == 200 for answer in answers)
    return (_cpu_seconds(server.pid) - before) / len(answers)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    typer.run(main)
