"""The verdict: each figure within its tolerance passes, beyond it fails, and says by how much."""

from dataclasses import replace

import numpy as np
import pytest

from index_builder.config import GateConfig
from index_builder.gate import (
    ArtifactFigures,
    ExamFigures,
    InputFigures,
    Pair,
    Validated,
    judge_artifact,
    judge_exam,
    judge_inputs,
)
from index_builder.known_pairs import Kept
from index_builder.verdict import Figure, Verdict
from models.training.evaluation import Comparison

CONFIG = GateConfig()
READ = InputFigures(
    n_items=Pair(1_000, 1_000),
    n_interactions=Pair(5_000, 5_000),
    kept=Kept(np.ones(5_000, np.bool_), 0.01, ()),
    texts_changed=0.01,
    rejects={"catalogue": (0.001, 0.01)},
)
MADE = ArtifactFigures(ann_recall=0.99, latency_ms=Pair(1.0, 1.0), validation={})
Found = InputFigures | ExamFigures | ArtifactFigures


def judge(found: Found, config: GateConfig = CONFIG) -> list[Figure]:
    if isinstance(found, InputFigures):
        return list(judge_inputs(found, config))
    return list(judge_exam(found, config) if isinstance(found, ExamFigures) else judge_artifact(found, config))


def compared(new: float, live: float, low: float, high: float) -> ExamFigures:
    comparison = Comparison(
        task="history",
        figure="recall@50",
        ours="tonight's",
        theirs="live",
        ours_value=new,
        theirs_value=live,
        difference=new - live,
        low=low,
        high=high,
        ratio=None,
    )
    return ExamFigures(recall={"history": comparison}, coverage={})


def covered(new: float, live: float) -> ExamFigures:
    return ExamFigures(recall={}, coverage={"text": Pair(new, live)})


def validated(new: Validated | None, live: Validated) -> ArtifactFigures:
    return replace(MADE, validation={"text": (new, live)})


def failed(found: Found) -> list[Figure]:
    return [figure for figure in judge(found) if not figure.passed]


def test_the_same_again_passes() -> None:
    figures = [*judge(READ), *judge(compared(0.5, 0.5, 0, 0)), *judge(covered(0.5, 0.5)), *judge(MADE)]
    assert [figure.name for figure in figures] == [
        "items", "interactions", "known pairs gone", "texts changed", "rejected catalogue rows", "recall@50 by history",
        "coverage@50 by text", "ann_recall@100", "search and rescore, CPU ms",
    ]  # fmt: skip
    assert all(figure.passed for figure in figures)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (replace(READ, n_items=Pair(799, 1_000)), "799 items instead of 1,000, -20.1%; gate.max_items_drop allows"),
        (replace(READ, n_items=Pair(0, 1_000)), "0 items instead of 1,000, -100.0%"),
        (replace(READ, n_interactions=Pair(2_500, 5_000)), "2,500 interactions instead of 5,000, -50.0%"),
        (
            replace(READ, kept=Kept(np.zeros(5_000, np.bool_), 0.995, (("u3", 6, 6), ("u1", 5, 6)))),
            "99.5% of the user-item pairs that the live artifact was built from are gone (6 of the 6 of u3, 5 of the 6"
            " of u1), gate.max_pairs_gone allows 20.0%",
        ),
        (replace(READ, texts_changed=0.51), "51.0% of the known items have another text, gate.max_texts_changed"),
        (replace(READ, rejects={"interactions": (0.02, 0.01)}), "2.00% of the interactions rows are bad"),
        (replace(MADE, ann_recall=0.9), "ann_recall@100 0.9000, gate.ann_recall_min asks for 0.9500"),
        (replace(MADE, latency_ms=Pair(16, 10)), "16.00 ms of CPU instead of 10.00, +60.0%"),
        (covered(0.39, 0.5), "coverage@50 by text 0.3900 instead of 0.5000, -22.0%"),
        (compared(0.4, 0.5, -0.15, -0.05), "recall@50 by history 0.4000 instead of 0.5000, -0.1000 [-0.1500, -0.0500]"),
        (validated(Validated(0.2, 500), Validated(0.4, 500)), "validation recall@50 by text 0.2000 instead of 0.4000"),
        (validated(None, Validated(0.4, 500)), "nothing was learnt tonight"),
    ],
)
def test_beyond_its_tolerance_a_figure_fails_alone_and_says_by_how_much(found: Found, says: str) -> None:
    (figure,) = failed(found)
    assert says in figure.says


@pytest.mark.parametrize(
    "found",
    [
        replace(READ, n_items=Pair(801, 1_000)),
        replace(READ, n_items=Pair(5_000, 1_000)),
        replace(READ, n_interactions=None, kept=None, texts_changed=None, rejects={}),
        replace(MADE, latency_ms=None),
        replace(READ, n_interactions=Pair(10, 0)),
        replace(MADE, latency_ms=Pair(1.9, 0.1)),  # nineteen times as long, and less than 2 ms more
        replace(MADE, latency_ms=Pair(14, 10)),
        covered(0.41, 0.5),
        compared(0.6, 0.5, 0.05, 0.15),
        compared(0.4, 0.5, -0.25, 0.05),  # chance explains it
        compared(0.49, 0.5, -0.015, -0.005),  # beyond chance, within the tolerance
        compared(0.0, 0.0, 0.0, 0.0),
        validated(Validated(0.2, 5), Validated(0.4, 5)),  # half, of five cases
        validated(Validated(0.3, 500), Validated(0.4, 500)),
        validated(Validated(1.0, 500), Validated(1.0, 500)),
    ],
)
def test_within_its_tolerance_everything_passes(found: Found) -> None:
    assert failed(found) == []


def test_the_tolerances_are_those_of_the_configuration() -> None:
    strict = GateConfig(recall_tolerance=0, max_items_drop=0, ann_recall_min=1)
    for found in (compared(0.49, 0.5, -0.015, -0.005), replace(READ, n_items=Pair(999, 1_000)), MADE):
        assert not failed(found)
        assert len([figure for figure in judge(found, strict) if not figure.passed]) == 1


def test_the_verdict_is_one_line_that_names_what_failed() -> None:
    figures = [*judge(replace(READ, n_items=Pair(500, 1_000))), *judge(replace(MADE, ann_recall=0.5))]
    verdict = Verdict(against="abc", figures=figures, notes=[])
    assert not verdict.passed
    assert verdict.line().startswith("the gate says no, abc stays live: 500 items instead of 1,000")
    assert "; ann_recall@100 0.5000" in verdict.line()
    assert "rejected" not in verdict.line()
    assert "\n" not in verdict.line()
    yes = Verdict(against="abc", figures=judge(READ), notes=[])
    assert yes.passed
    assert yes.line() == "the gate passed against abc: 5 figures within their tolerances"


def test_a_verdict_forced_says_what_was_overruled() -> None:
    figures = judge(replace(READ, n_items=Pair(500, 1_000)))
    line = Verdict(against="abc", figures=figures, notes=[], forced=True).line()
    assert line.startswith("the gate said no and was overruled by --force: 500 items")
