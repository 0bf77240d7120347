"""An evaluation as one HTML page that needs nothing else, and as a table for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.table import Table

from index_builder.evaluation_plots import loss_curves, popularity_bars, recall_curves, slice_bars
from index_builder.verdict import Verdict
from models.training.evaluation import COMPARED_AT, Comparison, Evaluation, RankerResult
from models.training.judge import CUTOFFS
from models.training.split import Task

TASK_TITLES: dict[Task, str] = {
    "history": "History (and text) → what is consumed next",
    "text": "Text alone → what is consumed",
}
HOLDOUTS = {
    "clock": "everything after a moment is the future",
    "last": "each user's last item, or last basket, is the future",
    "users": "a fifth of the users is unseen",
    "none": "nothing was held out: both artifacts learnt from what is asked",
}
_METRICS = ("recall", "precision", "ndcg", "mrr", "coverage", "novelty", "diversity", "popularity_bias")
_TERMINAL_METRICS = ("ndcg@10", "coverage@50", "popularity_bias@50")
_SLICE_RANKERS = 5


@dataclass(frozen=True, slots=True)
class _Section:
    """One task as the template shows it."""

    task: Task
    title: str
    n_cases: int
    n_found: int
    rankers: list[RankerResult]
    best: dict[str, float]
    comparisons: list[Comparison]
    curves: str
    slices: str
    popularity: str


def render_page(evaluation: Evaluation, *, title: str) -> str:
    """Returns the page; any rankers may stand in it, such as an old artifact's beside a new one's.

    Args:
        evaluation: What is shown.
        title: Says of what.
    """
    return _environment().get_template("evaluation.html.jinja").render(title=title, **_shown(evaluation))


def render_gate_page(verdict: Verdict, evaluation: Evaluation | None, *, title: str) -> str:
    """Returns the gate's page: the verdict, and tonight's artifact beside the live one where they were compared.

    Args:
        verdict: What the gate says.
        evaluation: Of both artifacts; None where recall was not compared.
        title: Says of what.
    """
    shown = {"evaluation": None} if evaluation is None else _shown(evaluation)
    return _environment().get_template("gate.html.jinja").render(title=title, verdict=verdict, **shown)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("index_builder"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["figure"] = _figure
    environment.filters["bytes"] = _megabytes
    return environment


def _shown(evaluation: Evaluation) -> dict[str, object]:
    return {
        "evaluation": evaluation,
        "holdout": HOLDOUTS[evaluation.data.holdout],
        "sections": [_section(evaluation, task) for task in evaluation.data.n_cases],
        "losses": loss_curves(evaluation.losses) if evaluation.losses else None,
        "cutoffs": CUTOFFS,
        "metrics": _METRICS,
        "compared_at": COMPARED_AT,
    }


def tables(evaluation: Evaluation) -> list[Table]:
    """Returns a table for each task, the best recall@50 first, for a terminal."""
    return [_table(evaluation, task) for task in evaluation.data.n_cases]


def comparison_line(comparison: Comparison) -> str:
    """Returns a comparison as a sentence."""
    ratio = ""
    if (found := comparison.ratio) is not None:
        ratio = f", ratio {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    return (
        f"{comparison.task}, {comparison.figure}: {comparison.ours} {comparison.ours_value:.4f},"
        f" {comparison.theirs} {comparison.theirs_value:.4f}: {comparison.difference:+.4f}"
        f" [{comparison.low:+.4f}, {comparison.high:+.4f}]{ratio}"
    )


def _section(evaluation: Evaluation, task: Task) -> _Section:
    rankers = _by_recall(evaluation, task)
    names = rankers[0].tasks[task].figures
    # Coverage, novelty, diversity and popularity bias have no better end; only accuracy has.
    best = {
        name: max(ranker.tasks[task].figures[name] for ranker in rankers)
        for name in names
        if name.split("@")[0] in ("recall", "precision", "ndcg", "mrr")
    }
    return _Section(
        task=task,
        title=TASK_TITLES[task],
        n_cases=evaluation.data.n_cases[task],
        n_found=evaluation.data.n_cases_found[task],
        rankers=rankers,
        best=best,
        comparisons=[found for found in evaluation.comparisons if found.task == task],
        curves=recall_curves(evaluation, task),
        slices=slice_bars(evaluation, task, _sliced(rankers)),
        popularity=popularity_bars(evaluation, task),
    )


def _sliced(rankers: Sequence[RankerResult]) -> list[str]:
    """Returns the rankers whose slices are drawn: the first of each kind, then the best of the others."""
    firsts = {ranker.kind: ranker.name for ranker in reversed(rankers)}
    known = {"zero-shot", "popularity"} & {ranker.name for ranker in rankers}
    names = dict.fromkeys([*firsts.values(), *sorted(known), *(ranker.name for ranker in rankers)])
    return list(names)[:_SLICE_RANKERS]


def _by_recall(evaluation: Evaluation, task: Task) -> list[RankerResult]:
    shown = [ranker for ranker in evaluation.rankers if task in ranker.tasks]
    return sorted(shown, key=lambda ranker: -ranker.tasks[task].figures[f"recall@{COMPARED_AT}"])


def _table(evaluation: Evaluation, task: Task) -> Table:
    found = evaluation.data.n_cases[task]
    table = Table(title=f"{TASK_TITLES[task]}: {found:,} cases", title_justify="left", box=None)
    table.add_column("", no_wrap=True)
    shown = [*(f"recall@{k}" for k in CUTOFFS), *_TERMINAL_METRICS]
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("setting", no_wrap=True)
    for ranker in _by_recall(evaluation, task):
        result = ranker.tasks[task]
        style = "bold" if ranker.kind == "product" else None
        setting = ", ".join(f"{name} {value:g}" for name, value in result.setting.items())
        table.add_row(ranker.name, *(_figure(result.figures[name]) for name in shown), setting, style=style)
    return table


def _figure(value: float) -> str:
    return f"{value:.2f}" if value >= 1.005 else f"{value:.4f}"


def _megabytes(value: int) -> str:
    return f"{value / 1e6:,.1f} MB"
