"""An evaluation as a value: what was asked, how each way of ranking did, and what it cost. Its JSON is stable."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.training.split import Holdout, Task

COMPARED_AT = 50

RankerKind = Literal["product", "baseline", "part"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataFacts(_Value):
    """What was judged on.

    Attributes:
        n_items: Items of the catalogue, all of which are ranked.
        n_users: Users with interactions.
        n_interactions: All that were read.
        n_past: Those that were fitted on.
        holdout: How past and future were kept apart; "none" where each ranker had learnt from what is asked.
        cut: The time at which the future begins; null unless the holdout is "clock".
        seed: Of splits, draws and fits.
        n_cases: Cases judged, by task.
        n_cases_found: Cases that the holdout gave, by task; more than `n_cases` where a draw was judged.
        n_unknown: Cases left out because nothing is known of the user: everybody answers with what is popular.
    """

    n_items: int
    n_users: int
    n_interactions: int
    n_past: int
    holdout: Holdout | Literal["none"]
    cut: float | None
    seed: int
    n_cases: dict[Task, int]
    n_cases_found: dict[Task, int]
    n_unknown: int


class SliceResult(_Value):
    """One group of cases: how many, and their recall by cutoff."""

    n_cases: int
    recall: dict[int, float]


class TaskResult(_Value):
    """How one way of ranking did at one task.

    Attributes:
        figures: By name, such as `recall@50`: every metric at every cutoff.
        curve: recall@k by k.
        slices: By group of cases.
        popularity: Share of the first 50 places that goes to each band of item popularity, most popular band first.
        setting: What validation chose.
        validation: Mean recall@50 on validation; null where the ranker tunes itself.
        trials: Settings tried on validation; null where the ranker tunes itself.
    """

    figures: dict[str, float]
    curve: dict[int, float]
    slices: dict[str, SliceResult]
    popularity: dict[str, float]
    setting: dict[str, float] = {}
    validation: float | None = None
    trials: int | None = None


class RankerResult(_Value):
    """One way of ranking.

    Attributes:
        name: As tables and plots show it.
        kind: "product" is what would be served, "part" a part of it alone, "baseline" everything else.
        tasks: Results by task; a task that it can't answer is absent.
        seconds: Fitting and ranking.
    """

    name: str
    kind: RankerKind
    tasks: dict[Task, TaskResult]
    seconds: float


class Ratio(_Value):
    """A quotient of two means with its 95 % interval `low` … `high`."""

    value: float
    low: float
    high: float


class Comparison(_Value):
    """Two rankers, case by case, at one figure.

    Attributes:
        task: The task.
        figure: Such as `recall@50`.
        ours: Name of the one.
        theirs: Name of the other.
        ours_value: Mean.
        theirs_value: Mean.
        difference: ours - theirs, with the 95 % interval `low` … `high` by paired bootstrap over cases.
        low: Lower bound.
        high: Upper bound.
        ratio: ours / theirs with its interval, by the same draws; null where theirs is 0 or may be.
    """

    task: Task
    figure: str
    ours: str
    theirs: str
    ours_value: float
    theirs_value: float
    difference: float
    low: float
    high: float
    ratio: Ratio | None


class PoolFacts(_Value):
    """What the relation head is given to re-score.

    Attributes:
        k: Candidates asked for.
        size: Items of the pool.
        recall: Mean share of min(k, right answers) that is in the pool: more than that the head can't find.
    """

    k: int
    size: int
    recall: float


class LossCurve(_Value):
    """A figure of a fit by epoch, such as its loss."""

    name: str
    values: list[float]


class Cost(_Value):
    """What the product takes.

    Attributes:
        training_seconds: Learning on the past, encoding aside.
        peak_memory_bytes: The process's highest resident memory until the product was fitted.
        artifact_bytes: Of the artifact's files, the encoder's among them, but for int8 graphs that a build may add.
    """

    training_seconds: float
    peak_memory_bytes: int
    artifact_bytes: int


class Evaluation(_Value):
    """One evaluation; documented in docs/evaluation.md.

    Attributes:
        format_version: Of this JSON.
        data: What was judged on.
        bands: Share of the catalogue in each band of popularity, most popular band first.
        targets: Share of the right answers in each band, by task.
        rankers: The product first.
        comparisons: Product against the best baseline, and before and after the relation head.
        pools: What the relation head can find at most, by task; empty where rankings alone were compared.
        cost: What the product takes; null where rankings alone were compared.
        losses: Loss curves of the fit, if it has any.
        warnings: What a person should look at.
    """

    format_version: Literal[1] = 1
    data: DataFacts
    bands: dict[str, float]
    targets: dict[Task, dict[str, float]]
    rankers: list[RankerResult]
    comparisons: list[Comparison]
    pools: dict[Task, PoolFacts] = {}
    cost: Cost | None = None
    losses: list[LossCurve] = []
    warnings: list[str] = []
