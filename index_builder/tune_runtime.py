"""Which runtime serves queries: the fastest whose candidates stay those of the reference, measured on this machine."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from index_builder.config import AskedRuntime
from index_builder.encode import cores
from index_builder.quantise import quantise
from index_builder.runtime_fidelity import Fidelity, Found, fidelity
from index_builder.runtime_trial import Trial
from models.encoder import PROBE_COSINES, EncoderFacts, EncoderLoader, QueryRuntime, load_encoder
from models.encoder_openvino import GRAPH, GRAPH_RUNTIMES
from models.errors import EncoderError
from models.native import encoder as native_encoder
from models.types import JsonValue

_SPEED_TEXTS = 24
_ROUNDS = 3
# Of runtimes nearly as fast as the fastest, the most faithful is taken.
_NEARLY = 0.9

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """The decision.

    Attributes:
        facts: The encoder's description, with runtime and fallbacks.
        figures: What was measured, by runtime; empty where there was nothing to choose from.
    """

    facts: EncoderFacts
    figures: dict[str, JsonValue]


def choose_runtime(
    asked: AskedRuntime, folder: Path, facts: EncoderFacts, *, trial: Trial, load: EncoderLoader = load_encoder
) -> RuntimeChoice:
    """Takes the fastest runtime that passes on this machine; keeps the parent's choice as long as it passes.

    Args:
        asked: A runtime, taken if it passes, or "auto" for all.
        folder: The encoder's files; graphs of fallbacks are put there, those of unused runtimes removed.
        facts: As exported, or as the parent had them.
        trial: What is measured on.
        load: Loads one runtime.
    """
    if asked == facts.reference or not trial.texts:
        return RuntimeChoice(_with_runtimes(facts, [facts.reference], folder), {})
    if facts.fallbacks and asked in ("auto", facts.query_runtime):
        kept = _Bench(folder, facts, trial, load).fidelity(facts.query_runtime)
        if kept is not None and _passes(facts.query_runtime, kept):
            return RuntimeChoice(facts, {facts.query_runtime: _figures(facts.query_runtime, kept)})
        _log.warning("the live artifact's query runtime %s doesn't pass any more", facts.query_runtime)
    candidates = [name for name in _candidates(folder, facts.reference) if asked in ("auto", name)]
    if not candidates:
        if asked != "auto":
            _log.warning("%s can't run this model on this machine: %s serves queries", asked, facts.reference)
        return RuntimeChoice(_with_runtimes(facts, [facts.reference], folder), {})
    bench = _Bench(folder, facts, trial, load)
    quantise(folder, candidates, texts=trial.calibration, facts=facts)
    found = {name: near for name in candidates if (near := bench.fidelity(name)) is not None}
    speeds = bench.speeds([*(name for name, near in found.items() if _passes(name, near)), facts.reference])
    chosen = _with_runtimes(facts, _order(speeds, found, facts.reference), folder)
    figures: dict[str, JsonValue] = {name: _figures(name, near, speeds.get(name)) for name, near in found.items()}
    figures[facts.reference] = {"texts_per_second": round(speeds[facts.reference], 1)}
    return RuntimeChoice(chosen, figures)


def _candidates(folder: Path, reference: QueryRuntime) -> list[QueryRuntime]:
    """Returns what could serve instead of the reference on this machine, given the encoder's files."""
    found: list[QueryRuntime] = []
    if (folder / GRAPH).exists():
        found += [name for name, runtime in GRAPH_RUNTIMES.items() if runtime.runs_here]
    if (folder / "modules.json").exists():
        found += ["native-int8"] if native_encoder.suits(folder) else []
        import torch  # seconds: only where there is a model that it could run

        found += ["torch-f16"] if torch.cuda.is_available() or torch.backends.mps.is_available() else []
    return [name for name in found if name != reference]


class _Bench:
    """Measures runtimes of one encoder on one trial."""

    def __init__(self, folder: Path, facts: EncoderFacts, trial: Trial, load: EncoderLoader) -> None:
        self._folder, self._facts, self._trial, self._load = folder, facts, trial, load
        self._reference = self._find(facts.reference)

    def fidelity(self, runtime: QueryRuntime) -> Fidelity | None:
        """Compares it with the reference; None where it doesn't run."""
        try:
            return fidelity(self._find(runtime), self._reference, self._trial.relevant)
        except EncoderError as error:
            _log.warning("%s can't serve queries: %s", runtime, error)
            return None

    def speeds(self, runtimes: Iterable[QueryRuntime]) -> dict[QueryRuntime, float]:
        """Returns texts a second on one core: each text by all in turn, the best of some rounds.

        So noise meets all alike and, being only ever added, counts for little; and each finds the caches as other work
        left them, as it does in a service.
        """
        encoders = {name: self._load(self._folder, self._facts.run_by(name), 1) for name in runtimes}
        texts = self._trial.texts[:: max(1, len(self._trial.texts) // _SPEED_TEXTS)]
        seconds = {name: np.empty((_ROUNDS, len(texts))) for name in encoders}
        for number in range(_ROUNDS):
            for column, text in enumerate(texts):
                for name, encoder in encoders.items():
                    start = perf_counter()
                    encoder.encode_user(text)
                    seconds[name][number, column] = perf_counter() - start
        return {name: len(texts) / float(taken.min(axis=0).sum()) for name, taken in seconds.items()}

    def _find(self, runtime: QueryRuntime) -> Found:
        encoder = self._load(self._folder, self._facts.run_by(runtime), cores())
        with ThreadPoolExecutor(cores()) as pool:
            embeddings = np.stack([vector for vector, _ in pool.map(encoder.encode_user, self._trial.texts)])
        return Found(embeddings, self._trial.rank(embeddings))


def _order(
    speeds: dict[QueryRuntime, float], found: dict[QueryRuntime, Fidelity], reference: QueryRuntime
) -> list[QueryRuntime]:
    """Returns the runtime that serves, then its fallbacks, the reference last; none is slower than the reference."""
    faster = sorted((name for name in speeds if speeds[name] > speeds[reference]), key=lambda name: -speeds[name])
    if not faster:
        return [reference]
    nearly = [name for name in faster if speeds[name] >= _NEARLY * speeds[faster[0]]]
    first = max(nearly, key=lambda name: found[name].overlap)
    return [first, *(name for name in faster if name != first), reference]


def _with_runtimes(facts: EncoderFacts, runtimes: list[QueryRuntime], folder: Path) -> EncoderFacts:
    """Returns the facts with these runtimes, and removes the graphs that none of them needs."""
    needed = {GRAPH_RUNTIMES[name].graph for name in runtimes if name in GRAPH_RUNTIMES} | {GRAPH}
    for graph in {runtime.graph for runtime in GRAPH_RUNTIMES.values()} - needed:
        (folder / graph).unlink(missing_ok=True)
        (folder / graph).with_suffix(".bin").unlink(missing_ok=True)
    return facts.model_copy(update={"query_runtime": runtimes[0], "fallbacks": tuple(runtimes[1:])})


def _passes(runtime: QueryRuntime, near: Fidelity) -> bool:
    return near.passes and near.mean_cosine >= PROBE_COSINES[runtime]  # else a service would pass it over


def _figures(runtime: QueryRuntime, near: Fidelity, texts_per_second: float | None = None) -> dict[str, JsonValue]:
    """Returns what was measured, rounded, as the manifest keeps it."""
    figures: dict[str, JsonValue] = {
        "overlap@100": round(near.overlap, 4),
        "mean_cosine": round(near.mean_cosine, 4),
        "min_cosine": round(near.min_cosine, 4),
        "passes": _passes(runtime, near),
    }
    if near.loss is not None:
        loss: dict[str, JsonValue] = {name: round(value, 4) for name, value in asdict(near.loss).items()}
        figures["recall@100_loss"] = loss
    if texts_per_second is not None:
        figures["texts_per_second"] = round(texts_per_second, 1)
    return figures
