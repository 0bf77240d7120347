"""One table for every way of ranking."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.judge import (
    CUTOFFS,
    best_rows,
    cold_among_cold,
    judge,
    mean_recalls,
    rank_by_scores,
    recalls,
    slices,
)
from models.training.metrics import hits_of, recall_at
from models.training.split import Case
from models.types import Matrix

EMBEDDINGS = np.eye(6, dtype=np.float32)
POPULARITY = np.array([5, 4, 3, 2, 1, 0], np.float32)


def case(history: list[int], targets: list[int], *, new: bool = False) -> Case:
    return Case(0, "history", np.array(history, np.int64), (), np.array(targets), is_new_user=new)


class ByPopularity:
    def scores(self, cases: Sequence[Case]) -> Matrix:
        return np.tile(POPULARITY, (len(cases), 1))


def test_ranking_leaves_the_history_out_and_fills_short_lists() -> None:
    ranked = rank_by_scores(ByPopularity(), [case([0, 2], [1]), case([], [5])], 8)
    assert ranked.tolist() == [[1, 3, 4, 5, -1, -1, -1, -1], [0, 1, 2, 3, 4, 5, -1, -1]]


def test_equal_scores_come_in_item_order() -> None:
    assert best_rows(np.zeros((1, 6), np.float32), 3).tolist() == [[0, 1, 2]]


def test_figures_of_a_hand_worked_ranking() -> None:
    """The first case finds its only target at rank 1, the second one of its two at rank 6."""
    cases = [case([0], [1]), case([], [5, 3])]
    ranked = rank_by_scores(ByPopularity(), cases, 100)
    judged = judge(ranked, cases, popularity=POPULARITY, embeddings=EMBEDDINGS)
    assert judged.figures["recall@10"] == (1 + 1) / 2
    assert judged.figures["mrr@10"] == (1 + 1 / 4) / 2
    assert judged.figures["precision@10"] == (1 / 10 + 2 / 10) / 2
    assert judged.figures["coverage@10"] == 1
    assert judged.figures["diversity@10"] == 1


def test_slices_by_user_item_and_history() -> None:
    masks = slices([case([0], [1]), case([0, 1, 2, 3], [5]), case([], [0], new=True)], POPULARITY)
    assert masks["warm user, warm item"].tolist() == [True, False, False]
    assert masks["warm user, cold item"].tolist() == [False, True, False]
    assert masks["cold user, warm item"].tolist() == [False, False, True]
    assert masks["history 4+"].tolist() == [False, True, False]
    assert "cold user, cold item" not in masks


def test_cold_items_are_asked_for_among_cold_ones() -> None:
    popularity = np.array([5, 0, 3, 0, 0, 2], np.float32)
    (asked,) = cold_among_cold([case([0], [1, 2]), case([1], [2])], popularity)
    assert (asked.targets.tolist(), asked.barred.tolist()) == ([1], [0, 2, 5])
    assert rank_by_scores(ByPopularity(), [asked], 4).tolist() == [[1, 3, 4, -1]]


def test_recall_is_the_mean_over_cutoffs_with_the_history_left_out() -> None:
    scores = np.array([[9.0, *np.arange(40, 0, -1)]], np.float32)
    case = Case(0, "history", np.array([0]), (), np.array([15]), is_new_user=False)
    assert mean_recalls(scores, [case]).tolist() == [0.75]


@given(st.data())
def test_recall_by_all_scores_is_that_of_the_sorted_list(data: st.DataObject) -> None:
    """Few distinct scores, so that many are equal."""
    n_items = data.draw(st.integers(2, 130))
    rows = st.lists(st.integers(0, n_items - 1), max_size=12)
    targets = sorted(set(data.draw(rows)) | {data.draw(st.integers(0, n_items - 1))})
    history = [row for row in data.draw(rows) if row not in targets]
    scores = np.array([data.draw(st.lists(st.integers(0, 3), min_size=n_items, max_size=n_items))], np.float32)
    asked = case(history, targets)
    left = scores.copy()
    left[0, history] = -np.inf
    hits = hits_of(np.argsort(-left, kind="stable")[:, : max(CUTOFFS)], [asked.targets])
    expected = {k: recall_at(hits, np.array([len(targets)]), k).tolist() for k in CUTOFFS}
    assert {k: found.tolist() for k, found in recalls(scores, [asked]).items()} == expected


@pytest.mark.parametrize("score", [np.nan, -np.inf])
@pytest.mark.parametrize("n_targets", [1, 20], ids=["few", "many"])
def test_scores_that_are_no_numbers_find_nothing(score: float, n_targets: int) -> None:
    """A catalogue smaller than the cutoffs, in which every list holds every item."""
    scores = np.full((1, 40), score, np.float32)
    assert mean_recalls(scores, [case([30], list(range(n_targets)))]).tolist() == [0]
