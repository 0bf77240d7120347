"""The evaluation's plots as inline SVG: text stays text (the page gives it its own font), nothing is fetched."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from models.training.evaluation import Evaluation, LossCurve, RankerKind, RankerResult
from models.training.split import Task

_PRODUCTS = ("#0b57d0", "#4f8ff0", "#9dc1f8", "#123a7a")
_PARTS = ("#8e24aa", "#c078d2")
_BASELINES = (
    "#e8710a", "#1e8e3e", "#b3261e", "#7a6a00", "#00838f", "#6d4c41", "#546e7a", "#e06aa5", "#202124", "#9e9d24"
)  # fmt: skip
_BANDS = ("#7f0000", "#d7301f", "#fc8d59", "#fdd49e", "#9ecae1")
_STYLE: dict[Any, Any] = {  # matplotlib types its keys as one Literal of hundreds
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
}
_SLICED_AT = 50


@mpl.rc_context(_STYLE)
def recall_curves(evaluation: Evaluation, task: Task) -> str:
    """Returns recall@k by k, a line for each ranker, best first in the legend."""
    colours = _colours(evaluation.rankers)
    shown = [ranker for ranker in evaluation.rankers if task in ranker.tasks]
    shown.sort(key=lambda ranker: -ranker.tasks[task].figures["recall@50"])
    figure, axes = _figure(9.6, 4.6)
    for ranker in shown:
        curve = ranker.tasks[task].curve
        width = 2.6 if ranker.kind == "product" else 1.3
        above = len(shown) - shown.index(ranker) + (len(shown) if ranker.kind == "product" else 0)
        line = _line(evaluation, ranker)
        axes.plot(
            list(curve),
            list(curve.values()),
            line,
            lw=width,
            color=colours[ranker.name],
            label=ranker.name,
            zorder=above,
        )
    axes.set_xscale("log")
    ticks = [1, 2, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("k")
    axes.set_ylabel("recall@k")
    axes.set_ylim(bottom=0)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _svg(figure, f"recall-{task}")


@mpl.rc_context(_STYLE)
def slice_bars(evaluation: Evaluation, task: Task, names: Sequence[str]) -> str:
    """Returns recall@50 by slice, a bar for each of the named rankers."""
    colours = _colours(evaluation.rankers)
    chosen = [ranker for ranker in evaluation.rankers if ranker.name in names and task in ranker.tasks]
    slices = chosen[0].tasks[task].slices
    figure, axes = _figure(9.6, 3.6)
    width = 0.8 / len(chosen)
    for number, ranker in enumerate(chosen):
        places = [place + (number - (len(chosen) - 1) / 2) * width for place in range(len(slices))]
        heights = [ranker.tasks[task].slices[name].recall[_SLICED_AT] for name in slices]
        axes.bar(places, heights, width * 0.92, color=colours[ranker.name], label=ranker.name)
    labels = [f"{name}\n({found.n_cases:,})" for name, found in slices.items()]
    axes.set_xticks(range(len(slices)), [label.replace(", ", ",\n") for label in labels])
    axes.grid(False, axis="x")
    axes.set_ylabel(f"recall@{_SLICED_AT}")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _svg(figure, f"slices-{task}")


@mpl.rc_context(_STYLE)
def popularity_bars(evaluation: Evaluation, task: Task) -> str:
    """Returns what each ranker recalls by band of popularity, beside the catalogue and what users chose."""
    rows: dict[str, Mapping[str, float]] = {
        "the catalogue": evaluation.bands,
        "the right answers": evaluation.targets[task],
    }
    rows |= {ranker.name: ranker.tasks[task].popularity for ranker in evaluation.rankers if task in ranker.tasks}
    names = list(rows)
    figure, axes = _figure(9.6, 0.9 + 0.3 * len(rows))
    left = [0.0] * len(rows)
    for band, colour in zip(evaluation.bands, _BANDS, strict=True):
        widths = [rows[name][band] for name in names]
        axes.barh(names, widths, left=left, color=colour, label=band, height=0.78)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(False)
    axes.axhline(1.5, color="#444", lw=0.8)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, title="items by popularity")
    return _svg(figure, f"popularity-{task}")


@mpl.rc_context(_STYLE)
def loss_curves(losses: Sequence[LossCurve]) -> str:
    """Returns each loss by epoch, in a panel of its own: their units differ."""
    figure = Figure(figsize=(9.6, 2.8), layout="constrained")
    panels = figure.subplots(1, len(losses), squeeze=False)[0]
    for axes, loss in zip(panels, losses, strict=True):
        axes.plot(range(1, len(loss.values) + 1), loss.values, color=_PRODUCTS[0])
        axes.set_title(loss.name, fontsize=10)
        axes.set_xlabel("epoch")
    return _svg(figure, "losses")


def _colours(rankers: Sequence[RankerResult]) -> dict[str, str]:
    """Returns a colour for each ranker, the same in every plot."""
    palettes: dict[RankerKind, Sequence[str]] = {"product": _PRODUCTS, "part": _PARTS, "baseline": _BASELINES}
    used = dict.fromkeys(palettes, 0)
    colours = {}
    for ranker in rankers:
        palette = palettes[ranker.kind]
        colours[ranker.name] = palette[used[ranker.kind] % len(palette)]
        used[ranker.kind] += 1
    return colours


def _line(evaluation: Evaluation, ranker: RankerResult) -> str:
    """Returns a line style: parts are dashed, and so is every other baseline, as ten colours are hard to tell apart."""
    if ranker.kind != "baseline":
        return {"product": "-", "part": "--"}[ranker.kind]
    baselines = [other.name for other in evaluation.rankers if other.kind == "baseline"]
    return "-" if baselines.index(ranker.name) % 2 == 0 else "-."


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure, name: str) -> str:
    """Returns the figure as an element; `name` keeps its ids apart from those of other plots on the page."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(?<=\bid=")|(?<=url\(#)|(?<=href="#)', f"{name}-", svg)
    return re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{name}">', svg)
