"""The page needs nothing but itself, shows every figure, and shows any rankers side by side."""

import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from index_builder.evaluation_page import comparison_line, render_page, tables
from models.training.baselines import all_baselines
from models.training.evaluate import Evaluator, hold_out, tuned_baseline
from models.training.evaluation import Comparison, Evaluation, LossCurve, Ratio
from tests.models.training.worlds import World

NAMES = ("popularity", "zero-shot", "EASE", "plain L3AE")


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    world = World(n_users=60)
    exam = hold_out(world.interactions, world.encodings.items)
    evaluator = Evaluator(exam)
    for baseline in all_baselines(world.item_texts, world.user_texts, world.item_times):
        found = tuned_baseline(baseline, exam, world.encodings) if baseline.name in NAMES else None
        if found is not None:
            evaluator.add(found)
    return evaluator.evaluation([evaluator.compare("EASE", "popularity", "history", 50)])


class Page(HTMLParser):
    """Tags, attributes and text of a page; unbalanced tags are an error."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_asks_for_nothing(evaluation: Evaluation) -> None:
    page = Page(render_page(evaluation, title="t"))
    for tag, name, value in page.attributes:
        assert tag not in ("script", "link", "img", "iframe", "image")
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#")
    assert not re.search(r"url\((?!#)|@import", render_page(evaluation, title="t"))


def test_ids_are_unique_and_references_lead_somewhere(evaluation: Evaluation) -> None:
    page = Page(render_page(evaluation, title="t"))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = [value[1:] for _, name, value in page.attributes if name.endswith("href")]
    used += re.findall(r"url\(#([^)]+)\)", render_page(evaluation, title="t"))
    assert used
    assert set(used) <= set(ids)


def test_every_figure_stands_on_the_page(evaluation: Evaluation) -> None:
    text = "".join(Page(render_page(evaluation, title="t")).text)
    for ranker in evaluation.rankers:
        assert ranker.name in text
        for result in ranker.tasks.values():
            for value in result.figures.values():
                assert (f"{value:.2f}" if value >= 1.005 else f"{value:.4f}") in text
    (compared,) = evaluation.comparisons
    assert f"{compared.difference:+.4f}" in text


def test_what_others_wrote_is_escaped(evaluation: Evaluation) -> None:
    nasty = '<script>alert(1)</script> & "$x$"'
    first, *others = evaluation.rankers
    changed = evaluation.model_copy(
        update={"rankers": [first.model_copy(update={"name": nasty}), *others], "warnings": [nasty], "comparisons": []}
    )
    page = Page(render_page(changed, title=nasty))
    assert "script" not in {tag for tag, _, _ in page.attributes} | set(page.open)
    assert "".join(page.text).count("<script>alert(1)</script>") > 5


def test_rankers_of_one_kind_can_be_shown_side_by_side(evaluation: Evaluation) -> None:
    """As a gate would: the live artifact beside a new one, no baselines, no cost."""
    old, new, *_ = evaluation.rankers
    rankers = [
        old.model_copy(update={"name": "live", "kind": "product"}),
        new.model_copy(update={"name": "new", "kind": "product"}),
    ]
    both = evaluation.model_copy(update={"rankers": rankers, "comparisons": []})
    text = "".join(Page(render_page(both, title="Live and new")).text)
    assert "live" in text
    assert "new" in text
    assert "The product learnt in" not in text


def test_losses_are_drawn_where_there_are_any(evaluation: Evaluation) -> None:
    assert "Losses" not in render_page(evaluation, title="t")
    losses = [LossCurve(name="head, training", values=[3, 2, 1.5]), LossCurve(name="head, validation", values=[3, 2.5])]
    page = "".join(Page(render_page(evaluation.model_copy(update={"losses": losses}), title="t")).text)
    assert "Losses" in page
    assert "head, validation" in page
    assert "epoch" in page
    assert "step" not in page


def test_the_same_evaluation_is_the_same_page(evaluation: Evaluation) -> None:
    assert render_page(evaluation, title="t") == render_page(evaluation, title="t")


def test_a_table_for_each_task_has_the_best_first(evaluation: Evaluation) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    history, text = tables(evaluation)
    console.print(history)
    lines = console.export_text().splitlines()
    assert "History (and text)" in lines[0]
    shown = [line.split("  ")[0].strip() for line in lines[2:] if line.strip()]
    recall = {ranker.name: ranker.tasks["history"].figures["recall@50"] for ranker in evaluation.rankers}
    assert shown == sorted(recall, key=lambda name: -recall[name])
    assert text.row_count == 2


def test_a_comparison_is_a_sentence() -> None:
    comparison = Comparison(
        task="text",
        figure="recall@50",
        ours="product",
        theirs="BM25",
        ours_value=0.3,
        theirs_value=0.2,
        difference=0.1,
        low=0.05,
        high=0.15,
        ratio=Ratio(value=1.5, low=1.2, high=1.8),
    )
    assert comparison_line(comparison) == (
        "text, recall@50: product 0.3000, BM25 0.2000: +0.1000 [+0.0500, +0.1500], ratio 1.50 [1.20, 1.80]"
    )
    assert comparison_line(comparison.model_copy(update={"ratio": None})).endswith("+0.1500]")
