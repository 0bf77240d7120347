"""What `recall_http` measured, as a table and as rows of the record: medians over rounds, ratios round by round."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from statistics import median

from rich.table import Table

from benchmarks.load import Round


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row.

    Attributes:
        name: What was asked.
        connections: How many asked at the same time.
        rounds: In the order in which they were measured.
        textbook: The textbook service's rounds at as many connections, each measured right after or before.
        overlap: Share of the textbook's candidates that were found too; None where that has no meaning.
    """

    name: str
    connections: int
    rounds: Sequence[Round]
    textbook: Sequence[Round]
    overlap: float | None = None

    @property
    def failures(self) -> Counter[str]:
        """How often each reason occurred."""
        return sum((one.failures for one in self.rounds), Counter[str]())

    @property
    def requests(self) -> int:
        """How many were asked in all rounds, good or not."""
        return sum(one.requests for one in self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The slowest and the fastest round's requests a second."""
        rates = [one.per_second for one in self.rounds]
        return min(rates), max(rates)

    def typical(self, figure: Callable[[Round], float]) -> float:
        """Returns a figure's median over the rounds."""
        return median(map(figure, self.rounds))

    def ratio(self, figure: Callable[[Round], float]) -> float:
        """Returns the median over the rounds of a figure divided by the textbook's in the same round."""
        pairs = zip(self.rounds, self.textbook, strict=True)
        return median(_divided(figure(own), figure(textbook)) for own, textbook in pairs)


def p50(one: Round) -> float:
    """Returns a round's median in milliseconds."""
    return one.percentile(50)


def per_second(one: Round) -> float:
    """Returns a round's good answers a second."""
    return one.per_second


def generator_share(one: Round) -> float:
    """Returns what the generator used of a core."""
    return one.generator_share


def table(measurements: Sequence[Measurement], k: int) -> Table:
    """Returns the table that is printed."""
    grid = Table(title="POST /recall: medians over rounds; ratios against the textbook service, round by round")
    grid.add_column("service", no_wrap=True)
    grid.add_column("connections", justify="right")
    for heading in ("p50 ms", "p95 ms", "p99 ms", "req/s", "(min–max)", "requests", "failures"):
        grid.add_column(heading, justify="right")
    for heading in ("p50 ÷ textbook", "req/s ÷ textbook", f"overlap@{k}", "generator"):
        grid.add_column(heading, justify="right")
    for row in measurements:
        failed = row.failures.total()
        low, high = row.spread
        grid.add_row(
            row.name,
            str(row.connections),
            *(f"{row.typical(methodcaller('percentile', q)):.2f}" for q in (50, 95, 99)),
            f"{row.typical(per_second):.0f}",
            f"{low:.0f}–{high:.0f}",
            str(row.requests),
            f"[bold red]{failed}[/]" if failed else "0",
            _short(row.ratio(p50)),
            _short(row.ratio(per_second)),
            "–" if row.overlap is None else f"{row.overlap:.3f}",
            f"{row.typical(generator_share):.0%} of a core",
        )
    return grid


def figures(row: Measurement, k: int) -> str:
    """Returns a row's figures as one cell of the record."""
    low, high = row.spread
    percentiles = " / ".join(f"{row.typical(methodcaller('percentile', q)):.2f}" for q in (50, 95, 99))
    parts = [
        f"p50/p95/p99 {percentiles} ms",
        f"{row.typical(per_second):.0f} req/s ({low:.0f}–{high:.0f})",
        f"{row.requests} requests, {row.failures.total()} failures",
        f"p50 {_short(row.ratio(p50))} of textbook, {_short(row.ratio(per_second))} × textbook",
        f"generator {row.typical(generator_share):.0%} of a core",
    ]
    if row.overlap is not None:
        parts.insert(4, f"overlap@{k} {row.overlap:.3f}")
    return "; ".join(parts)


def _divided(figure: float, by: float) -> float:
    return figure / by if by else float("nan")


def _short(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}"
