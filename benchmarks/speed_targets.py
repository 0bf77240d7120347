"""What the service's speed is held against: each figure beside its target and a verdict. Knows no HTTP."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from rich.table import Table

from benchmarks.load import Round
from benchmarks.recall_table import p50, per_second
from models.manifest import Manifest

Rounds = Sequence[Round]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure.

    Attributes:
        measure: What was measured.
        figure: None where it wasn't; `note` says why.
        bound: Whether the target is the least or the most that it may be.
        target: The limit.
        note: How it came about.
    """

    measure: str
    figure: float | None
    bound: Literal["≥", "≤"]
    target: float
    note: str = ""

    @property
    def held(self) -> bool | None:
        """Whether the target is reached; None where nothing was measured."""
        if self.figure is None:
            return None
        return self.figure >= self.target if self.bound == "≥" else self.figure <= self.target

    def line(self) -> str:
        """Returns it as one cell of the record."""
        word = {True: "held", False: "MISSED", None: "not measured"}[self.held]
        shown = "–" if self.figure is None else f"{self.figure:.3g}"
        return f"{shown} (target {self.bound} {self.target:g}): {word}" + (f"; {self.note}" if self.note else "")


@dataclass(frozen=True, slots=True)
class Speed:
    """Everything that one run measured.

    Attributes:
        cold: Ours, texts never seen before; by connections, round by round as the others.
        warm: Ours, texts seen before.
        textbook: The textbook service.
        empty: An empty route.
        txtai: txtai's API; empty where it wasn't asked for.
        bare: Texts a second of the encoder alone, a round each.
        open_loop: Ours, cold, at 80 % of its top load.
        items: Items a second against the textbook's way, a round each.
        rescore_ms: Of each of some requests with a pool of 500.
        ready_seconds: From start to the first 200 of /readyz.
        resident_mib: All serving processes together, after the load.
    """

    cold: Mapping[int, Rounds]
    warm: Mapping[int, Rounds]
    textbook: Mapping[int, Rounds]
    empty: Mapping[int, Rounds]
    txtai: Mapping[int, Rounds]
    bare: Sequence[float]
    open_loop: Rounds
    items: Sequence[float]
    rescore_ms: Sequence[float]
    ready_seconds: float
    resident_mib: float


def verdicts(speed: Speed, manifest: Manifest) -> list[Verdict]:
    """Returns each figure with its target; figures that need 1 or 8 connections only where those were measured."""
    found = []
    if 8 in speed.cold:
        cold = speed.cold[8]
        bare = [own.per_second / rate for own, rate in zip(cold, speed.bare, strict=True)]
        found += [
            Verdict("uncached requests/s ÷ textbook's, 8 connections", _ratio(cold, speed.textbook[8]), "≥", 8),
            Verdict("uncached requests/s ÷ bare encoder's texts/s", median(bare), "≥", 0.75, _rates(speed.bare)),
            Verdict(
                "cached requests/s ÷ empty route's, 8 connections", _ratio(speed.warm[8], speed.empty[8]), "≥", 0.25
            ),
            Verdict(
                "uncached requests/s ÷ txtai's, 8 connections",
                _ratio(cold, speed.txtai[8]) if speed.txtai else None,
                "≥",
                10,
                "" if speed.txtai else "make its environment with scripts/txtai_venv.sh, then --txtai DIR",
            ),
        ]
    if 1 in speed.cold:
        found.append(
            Verdict("uncached p50 ÷ textbook's, 1 connection", _ratio(speed.cold[1], speed.textbook[1], p50), "≤", 0.25)
        )
    if speed.open_loop:
        tail = median(one.percentile(99) / one.percentile(50) for one in speed.open_loop)
        rate = median(one.per_second for one in speed.open_loop)
        found.append(Verdict("p99 ÷ p50, open loop at 80 % of the top load", tail, "≤", 4, f"{rate:.0f} requests/s"))
    found += [
        Verdict("rescoring a pool of 500, median ms", median(speed.rescore_ms), "≤", 0.3),
        Verdict("ready after its start, s", speed.ready_seconds, "≤", 3),
        Verdict("resident memory of all serving processes, MiB", speed.resident_mib, "≤", 500),
        Verdict("items/s ÷ SentenceTransformer.encode(batch_size=32)", median(speed.items), "≥", 3),
    ]
    return found + list(_kept(manifest))


def _kept(manifest: Manifest) -> Iterable[Verdict]:
    """Yields what the builder measured of the runtime and the index that serve."""
    runtimes, runtime = manifest.quality.get("query_runtimes"), manifest.encoder.query_runtime
    figures = runtimes.get(runtime) if isinstance(runtimes, dict) else None
    if isinstance(figures, dict) and "overlap@100" in figures:
        yield Verdict(f"overlap@100 of {runtime} with float32", _number(figures["overlap@100"]), "≥", 0.95)
        loss = figures.get("recall@100_loss")
        if isinstance(loss, dict):
            interval = f"95 % interval {loss['low']} to {loss['high']}, {loss['cases']} cases"
            yield Verdict(f"recall@100 lost by {runtime}, share", _number(loss["share"]), "≤", 0.01, interval)
    yield Verdict("ann_recall@100", _number(manifest.quality.get("ann_recall@100")), "≥", 0.99, manifest.index.kind)


def table(found: Sequence[Verdict]) -> Table:
    """Returns the table that is printed."""
    grid = Table(title="Targets; ratios are medians over rounds")
    for heading in ("measure", "figure", "target", "", "note"):
        grid.add_column(heading, justify="right" if heading in ("figure", "target") else "left")
    words = {True: "held", False: "[bold red]MISSED[/]", None: "not measured"}
    for one in found:
        shown = "–" if one.figure is None else f"{one.figure:.3g}"
        grid.add_row(one.measure, shown, f"{one.bound} {one.target:g}", words[one.held], one.note)
    return grid


def _ratio(own: Rounds, other: Rounds, figure: Callable[[Round], float] = per_second) -> float:
    return median(figure(mine) / max(figure(theirs), 1e-9) for mine, theirs in zip(own, other, strict=True))


def _rates(rates: Sequence[float]) -> str:
    return f"{median(rates):.0f} texts/s"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
