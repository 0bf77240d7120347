"""The gate: figures of tonight's artifact and of the live one → a verdict. Pure; who measures is `gate_figures`.

A figure that could not be measured isn't judged, and a note says why; what is judged fails alone or together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

from index_builder.config import GateConfig
from index_builder.known_pairs import Kept
from index_builder.verdict import Figure
from models.training.evaluation import Comparison
from models.training.split import Task

# Two-sided 95 % of the normal distribution.
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of both artifacts."""

    new: float
    live: float


@dataclass(frozen=True, slots=True)
class Validated:
    """Mean validation recall over so many cases."""

    recall: float
    cases: int


@dataclass(frozen=True, slots=True)
class InputFigures:
    """What can be said before anything is fitted.

    Attributes:
        n_items: Items.
        n_interactions: Interactions fitted on; None where the live artifact doesn't know.
        kept: What became of the pairs that the live artifact was built from; None where it keeps no sample, or there
            are no interactions at all.
        texts_changed: Share of the items in both whose text is another; None where none is in both.
        rejects: Share of bad rows and the share allowed, by table.
    """

    n_items: Pair
    n_interactions: Pair | None
    kept: Kept | None
    texts_changed: float | None
    rejects: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ExamFigures:
    """How tonight's artifact did beside the live one at cases that neither has seen, or both, by task.

    Attributes:
        recall: Paired comparisons, ours tonight's.
        coverage: Of the candidates of all cases.
    """

    recall: Mapping[Task, Comparison]
    coverage: Mapping[Task, Pair]


@dataclass(frozen=True, slots=True)
class ArtifactFigures:
    """What is known of the artifact that would be published.

    Attributes:
        ann_recall: ann_recall@100 of its index.
        latency_ms: Median CPU time of search and rescore; None where no item is in both.
        validation: Its own validation recall and the live artifact's, by task; None where nothing was learnt.
    """

    ann_recall: float
    latency_ms: Pair | None
    validation: Mapping[Task, tuple[Validated | None, Validated]]


def judge_inputs(found: InputFigures, config: GateConfig) -> Iterator[Figure]:
    """Yields the figures of what was read."""
    yield _drop("items", found.n_items, config.max_items_drop, "gate.max_items_drop")
    if found.n_interactions is not None:
        yield _drop("interactions", found.n_interactions, config.max_interactions_drop, "gate.max_interactions_drop")
    if found.kept is not None:
        yield _pairs_gone(found.kept, config.max_pairs_gone)
    if found.texts_changed is not None:
        changed, limit = found.texts_changed, config.max_texts_changed
        says = f"{changed:.1%} of the known items have another text, gate.max_texts_changed allows {limit:.1%}"
        yield _at_most("texts changed", changed, limit, says)
    for table, shares in found.rejects.items():
        yield _rejects(table, *shares)


def judge_exam(found: ExamFigures, config: GateConfig, *, of: str = "") -> Iterator[Figure]:
    """Yields the figures of the comparison with the live artifact.

    Args:
        found: Of one exam.
        config: What may be lost.
        of: What was asked about, for the names of the figures; empty for news.
    """
    for comparison in found.recall.values():
        yield _recall(comparison, config.recall_tolerance, of)
    for task, pair in found.coverage.items():
        yield _coverage(_named(f"coverage@{config.k}", task, of), pair, config)


def judge_artifact(found: ArtifactFigures, config: GateConfig) -> Iterator[Figure]:
    """Yields the figures of what would be published."""
    for task, (new, live) in found.validation.items():
        yield _validation(task, new, live, config)
    yield _ann_recall(found.ann_recall, config.ann_recall_min)
    if found.latency_ms is not None:
        yield _latency(found.latency_ms, config)


def _drop(name: str, pair: Pair, tolerance: float, key: str) -> Figure:
    lost = 1 - pair.new / pair.live if pair.live else 0.0
    return Figure(
        name=name,
        new=pair.new,
        live=pair.live,
        limit=(1 - tolerance) * pair.live,
        passed=lost <= tolerance,
        says=f"{pair.new:,.0f} {name} instead of {pair.live:,.0f}, {_change(pair)}; {key} allows -{tolerance:.1%}",
    )


def _pairs_gone(kept: Kept, limit: float) -> Figure:
    examples = ", ".join(f"{gone} of the {known} of {user}" for user, gone, known in kept.lost_most)
    says = (
        f"{kept.share_gone:.1%} of the user-item pairs that the live artifact was built from are gone"
        f"{f' ({examples})' if examples else ''}, gate.max_pairs_gone allows {limit:.1%}"
    )
    return _at_most("known pairs gone", kept.share_gone, limit, says)


def _rejects(table: str, share: float, allowed: float) -> Figure:
    says = f"{share:.2%} of the {table} rows are bad, {table}.max_reject_share allows {allowed:.2%}"
    return _at_most(f"rejected {table} rows", share, allowed, says)


def _at_most(name: str, share: float, limit: float, says: str) -> Figure:
    """Returns a share that may not pass a limit, whatever the live artifact's was."""
    return Figure(name=name, new=share, live=None, limit=limit, passed=share <= limit, says=says)


def _recall(found: Comparison, tolerance: float, of: str) -> Figure:
    """Fails where more than the tolerance is lost and chance doesn't explain it: the interval is all below 0."""
    limit = (1 - tolerance) * found.theirs_value
    name = _named(found.figure, found.task, of)
    return Figure(
        name=name,
        new=found.ours_value,
        live=found.theirs_value,
        limit=limit,
        passed=found.ours_value >= limit or found.high >= 0,
        says=f"{name} {found.ours_value:.4f} instead of {found.theirs_value:.4f},"
        f" {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]; gate.recall_tolerance allows"
        f" -{tolerance:.1%}",
    )


def _validation(task: Task, new: Validated | None, live: Validated, config: GateConfig) -> Figure:
    """Fails where the drop is beyond the tolerance and beyond chance.

    The cases are others than the live artifact's, so nothing is paired; recall in [0, 1] varies by at most p (1 - p).
    """
    name = f"validation recall@{config.k} by {task}"
    if new is None:
        return Figure(
            name=name,
            new=0.0,
            live=live.recall,
            limit=(1 - config.validation_tolerance) * live.recall,
            passed=False,
            says=f"nothing was learnt tonight, {name} was {live.recall:.4f}",
        )
    error = sqrt(sum(one.recall * (1 - one.recall) / max(one.cases, 1) for one in (new, live)))
    limit = (1 - config.validation_tolerance) * live.recall
    return Figure(
        name=name,
        new=new.recall,
        live=live.recall,
        limit=limit,
        passed=new.recall + _Z * error >= limit,
        says=f"{name} {new.recall:.4f} instead of {live.recall:.4f}, {_change(Pair(new.recall, live.recall))};"
        f" gate.validation_tolerance allows -{config.validation_tolerance:.1%}",
    )


def _coverage(name: str, found: Pair, config: GateConfig) -> Figure:
    limit = (1 - config.coverage_tolerance) * found.live
    return Figure(
        name=name,
        new=found.new,
        live=found.live,
        limit=limit,
        passed=found.new >= limit,
        says=f"{name} {found.new:.4f} instead of {found.live:.4f}, {_change(found)};"
        f" gate.coverage_tolerance allows -{config.coverage_tolerance:.1%}",
    )


def _ann_recall(found: float, limit: float) -> Figure:
    return Figure(
        name="ann_recall@100",
        new=found,
        live=None,
        limit=limit,
        passed=found >= limit,
        says=f"ann_recall@100 {found:.4f}, gate.ann_recall_min asks for {limit:.4f}",
    )


def _latency(found: Pair, config: GateConfig) -> Figure:
    limit = max((1 + config.latency_tolerance) * found.live, found.live + config.latency_slack_ms)
    return Figure(
        name="search and rescore, CPU ms",
        new=found.new,
        live=found.live,
        limit=limit,
        passed=found.new <= limit,
        says=f"search and rescore take {found.new:.2f} ms of CPU instead of {found.live:.2f}, {_change(found)};"
        f" gate.latency_tolerance and latency_slack_ms allow {limit:.2f}",
    )


def _named(figure: str, task: Task, of: str) -> str:
    return f"{figure} by {task}{f' of {of}' if of else ''}"


def _change(pair: Pair) -> str:
    return f"{pair.new / pair.live - 1:+.1%}" if pair.live else "from none"
