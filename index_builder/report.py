"""What a build says when it is done: a value, its JSON and its lines for a person."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict

from models.training.freshness import FRESHNESS
from models.training.popularity import TREND
from models.types import JsonValue

_EXAMPLES = 3  # of a table's bad rows that a person is shown; the file has all


class InteractionCounts(BaseModel):
    """What became of the interaction rows."""

    model_config = ConfigDict(frozen=True)

    n_rows: int
    n_used: int
    n_users: int
    n_below_min_rating: int
    n_unrated: int
    n_unknown_items: int


class EventCounts(BaseModel):
    """What became of the events that were taken from the service's log."""

    model_config = ConfigDict(frozen=True)

    n_events: int
    n_positives: int
    n_not_wanted: int
    n_taken_back: int
    n_below_min_rating: int
    unknown_types: dict[str, int]
    n_erased_users: int


class BuildReport(BaseModel):
    """The report of one build; its JSON form is stable and documented in docs/building.md.

    Attributes:
        artifact_id: The artifact that is live now.
        artifacts: The folder it is in.
        n_items: Items in it.
        n_rows: Catalogue rows read.
        n_encoded: Item texts that the encoder read now.
        n_reused: Items whose embedding was there already.
        user_texts: `n_encoded` and `n_reused` of the texts that users wrote.
        index: Kind and parameters.
        interactions: Counts; null without interactions.
        events: Counts of the taken events; null without `[feedback]`.
        quality: What was measured.
        rejects: By table: counts by kind, share, examples, the rejects file.
        deleted: Artifacts that `publish.keep` had no room for.
        warnings: What a person should look at.
        seconds: Duration of each stage.
    """

    model_config = ConfigDict(frozen=True)

    artifact_id: str
    artifacts: str
    n_items: int
    n_rows: int
    n_encoded: int
    n_reused: int
    user_texts: dict[str, int]
    index: dict[str, JsonValue]
    interactions: InteractionCounts | None
    events: EventCounts | None = None
    quality: dict[str, JsonValue]
    rejects: dict[str, dict[str, JsonValue]]
    deleted: list[str]
    warnings: list[str]
    seconds: dict[str, float]

    def lines(self) -> list[str]:
        """Returns the report for a person, a line each."""
        lines = [f"warning: {warning}" for warning in self.warnings]
        lines += row_lines(self.rejects, self.interactions)
        if self.events:
            lines.append(f"{self.events.n_positives} of {self.events.n_events} taken events are positives")
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in self.seconds.items())
        lines += [
            f"{self.n_items} items ({self.n_encoded} texts encoded, {self.n_reused} embeddings reused)",
            f"index {self.index['kind']}: ann_recall@100 {self.quality['ann_recall@100']}",
            *_validation_lines(self.quality.get("validation")),
            f"seconds: {stages}",
            *([f"deleted old artifacts: {', '.join(self.deleted)}"] if self.deleted else []),
            f"artifact {self.artifact_id} is live in {self.artifacts}",
        ]
        return lines


def row_lines(rejects: Mapping[str, Mapping[str, JsonValue]], counts: InteractionCounts | None) -> list[str]:
    """Returns what became of the rows of each table: the bad ones with examples, and of interactions all the others.

    Args:
        rejects: By table, as `Rejects.summary` gives it.
        counts: None without interactions.
    """
    lines: list[str] = []
    for table, found in rejects.items():
        if not found["rejected"]:
            continue
        lines.append(
            f"rejected {found['rejected']} {table} rows {found['counts']}, see {found['file']}:"
            f" {'; '.join(_shown(found['examples']))}"
        )
    if counts:
        unrated = f", {counts.n_unrated} are not rated" if counts.n_unrated else ""
        lines.append(
            f"{counts.n_used} of {counts.n_rows} interactions by {counts.n_users} users used"
            f" ({counts.n_unknown_items} name unknown items, {counts.n_below_min_rating} are rated too low{unrated})"
        )
    return lines


def _shown(examples: JsonValue) -> Iterator[str]:
    """Yields where the first bad rows are and what is wrong with them."""
    assert isinstance(examples, list)
    for example in examples[:_EXAMPLES]:
        assert isinstance(example, dict)
        yield f"{example['file']} line {example['line']}: {example['reason']}"


def _validation_lines(validation: JsonValue) -> list[str]:
    """Returns a line for each task and way of ranking."""
    lines: list[str] = []
    for task, found in validation.items() if isinstance(validation, dict) else ():
        if task == FRESHNESS:
            lines.append(f"the age of items counts {found} deviations of their popularity")
            continue
        if task == TREND:
            assert isinstance(found, float)
            lately = f"of all time and of the newest {found:.0%} of the events" if found else "of all time"
            lines.append(f"popularity is that {lately}")
            continue
        assert isinstance(found, dict)
        for name, figures in found.items():
            if name == "situations":
                lines += _head_lines(figures)
            elif isinstance(figures, dict):
                recall = "  ".join(f"{figure} {value:.3f}" for figure, value in figures.items())
                lines.append(f"validation by {task}, {found['cases']} cases, {name:<10}  {recall}")
    return lines


def _head_lines(situations: JsonValue) -> Iterator[str]:
    """Yields what the relation head does in each situation."""
    for situation, found in situations.items() if isinstance(situations, dict) else ():
        assert isinstance(found, dict)
        before, after = found["before"], found["after"]
        assert isinstance(before, dict)
        assert isinstance(after, dict)
        recall = "  ".join(f"{figure} {value:.3f} → {after[figure]:.3f}" for figure, value in before.items())
        sits_out = "" if found["acts"] else ": it sits out"
        yield f"relation head by {situation}, {found['cases']} cases  {recall}{sits_out}"


class Stopwatch:
    """Seconds by stage.

    Args:
        on_done: Called with the name, the seconds and the counts of each stage that is done.
    """

    def __init__(self, on_done: Callable[[str, float, dict[str, int]], None] = lambda *_: None) -> None:
        self.seconds: dict[str, float] = {}
        self._on_done = on_done

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, int]]:
        """Measures the block as one stage; it fills in its counts."""
        counts: dict[str, int] = {}
        start = time.perf_counter()
        yield counts
        self.seconds[name] = round(self.seconds.get(name, 0) + time.perf_counter() - start, 3)
        self._on_done(name, self.seconds[name], counts)
