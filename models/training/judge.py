"""Judging rankings: one table of figures for any way of ranking, over the same cases. No fitting here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.training import metrics
from models.training.split import Case
from models.types import Matrix, Rows, Vector

CUTOFFS = (10, 20, 50, 100)
_BATCH = 256
_FAR = np.iinfo(np.int64).max
_FEW = 3  # targets of a case, each of which is looked up faster than the best of all items are found


class Scorer(Protocol):
    """A way of ranking that scores every item."""

    def scores(self, cases: Sequence[Case]) -> Matrix:
        """Returns a score for each case and item, shape `(n_cases, n_items)`; bigger is better."""


class Ranker(Protocol):
    """A way of ranking that gives a list to each case."""

    def rank(self, cases: Sequence[Case], k: int) -> Rows:
        """Returns the k best items of each case, its history and what is barred left out, shape `(n_cases, k)`.

        Lists that are shorter are filled with -1.
        """


@dataclass(frozen=True, slots=True)
class Judged:
    """How one way of ranking did.

    Attributes:
        figures: Figure by name, such as `recall@50`; means over the cases.
        recall: Of each case at each cutoff, for paired comparisons, each of shape `(n_cases,)`.
    """

    figures: dict[str, float]
    recall: dict[int, metrics.PerUser]


def rank_by_scores(scorer: Scorer, cases: Sequence[Case], k: int) -> Rows:
    """Returns the k best items of each case, as `Ranker.rank` does."""
    ranked = []
    for start in range(0, len(cases), _BATCH):
        batch = cases[start : start + _BATCH]
        scores = np.array(scorer.scores(batch), np.float32)
        for row, case in zip(scores, batch, strict=True):
            row[case.history] = -np.inf
            row[case.barred] = -np.inf
        ranked.append(best_rows(scores, k))
    return np.concatenate(ranked)


def best_rows(scores: Matrix, k: int) -> Rows:
    """Returns the columns with the k largest finite scores of each row, best first; -1 fills short lists."""
    n_items = scores.shape[1]
    width = min(k, n_items)
    best = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    best.sort(axis=1)  # equal scores in item order
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    rows = np.take_along_axis(best, order, axis=1).astype(np.int64)
    rows[~np.isfinite(np.take_along_axis(scores, rows, axis=1))] = -1
    return np.pad(rows, ((0, 0), (0, k - width)), constant_values=-1)


def recalls(scores: Matrix, cases: Sequence[Case]) -> dict[int, metrics.PerUser]:
    """Returns each case's recall at each cutoff, the history left out.

    Args:
        scores: Of all items, shape `(n_cases, n_items)`.
        cases: Who is asked.
    """
    counts = np.array([len(case.targets) for case in cases])
    asking = np.repeat(np.arange(len(cases)), counts)
    targets = np.concatenate([case.targets for case in cases])
    left = scores.copy()
    left.reshape(-1)[np.concatenate([row * scores.shape[1] + case.history for row, case in enumerate(cases)])] = -np.inf
    rank = _ranks_of_few if counts.max() <= _FEW else _ranks
    # A target whose score is no finite number is far: what gives such finds nothing.
    ranks = np.where(np.isfinite(scores[asking, targets]), rank(left, asking, targets), _FAR)
    return {k: np.bincount(asking, ranks < k, len(cases)) / np.minimum(k, counts) for k in CUTOFFS}


def mean_recalls(scores: Matrix, cases: Sequence[Case]) -> metrics.PerUser:
    """Returns each case's mean of `recalls` over the cutoffs, shape `(n_cases,)`."""
    found: metrics.PerUser = np.mean(list(recalls(scores, cases).values()), axis=0)
    return found


def _ranks_of_few(scores: Matrix, rows: Rows, items: Rows) -> Rows:
    """Returns how many items of its row stand before each of some; equal scores are in item order."""
    ranks = np.empty(len(rows), np.int64)
    for number, (row, item) in enumerate(zip(rows.tolist(), items.tolist(), strict=True)):
        own = scores[row]
        before = np.count_nonzero(own > own[item]), np.count_nonzero(own[:item] == own[item])
        ranks[number] = sum(before)
    return ranks


def _ranks(scores: Matrix, rows: Rows, items: Rows) -> Rows:
    """Returns what `_ranks_of_few` does; beyond every cutoff it may be `_FAR`."""
    n_rows, n_items = scores.shape
    k = max(CUTOFFS)
    least = np.partition(scores, -k, axis=1)[:, -k:][:, :1] if n_items > k else np.full((n_rows, 1), -np.inf)
    first = np.flatnonzero(scores >= least)  # of all rows, each with its place among all scores
    own = first // n_items
    order = np.lexsort((-scores.reshape(-1)[first], own))
    ranks = np.empty(len(first), np.int64)
    ranks[order] = np.arange(len(first)) - np.searchsorted(own, own)
    wanted = rows * n_items + items
    place = np.minimum(np.searchsorted(first, wanted), len(first) - 1)
    return np.where(first[place] == wanted, ranks[place], _FAR) if len(first) else np.full(len(rows), _FAR)


def judge(ranked: Rows, cases: Sequence[Case], *, popularity: Vector, embeddings: Matrix) -> Judged:
    """Returns every figure of `models.training.metrics` at every cutoff.

    Args:
        ranked: Shape `(n_cases, max(CUTOFFS))`.
        cases: What was asked.
        popularity: Of the items in the past, shape `(n_items,)`.
        embeddings: Of the items' texts, unit rows, shape `(n_items, dim)`.
    """
    hits = metrics.hits_of(ranked, [case.targets for case in cases])
    n_relevant = np.array([len(case.targets) for case in cases])
    recall = {k: metrics.recall_at(hits, n_relevant, k) for k in CUTOFFS}
    figures: dict[str, float] = {}
    for k in CUTOFFS:
        figures[f"recall@{k}"] = float(recall[k].mean())
        figures[f"precision@{k}"] = float(metrics.precision_at(hits, k).mean())
        figures[f"ndcg@{k}"] = float(metrics.ndcg_at(hits, n_relevant, k).mean())
        figures[f"mrr@{k}"] = float(metrics.mrr_at(hits, k).mean())
        figures[f"coverage@{k}"] = metrics.coverage_at(ranked, k, n_items=len(popularity))
        figures[f"novelty@{k}"] = metrics.novelty_at(ranked, k, popularity=popularity)
        figures[f"diversity@{k}"] = metrics.diversity_at(ranked, k, embeddings=embeddings)
        figures[f"popularity_bias@{k}"] = metrics.popularity_bias_at(ranked, k, popularity=popularity)
    return Judged(figures, recall)


def slices(cases: Sequence[Case], popularity: Vector) -> dict[str, NDArray[np.bool_]]:
    """Returns which cases belong to each slice, each of shape `(n_cases,)`.

    Warm or cold user (has events in the past or not) × warm or cold item (a target with or without users in the
    past), and the length of the history.
    """
    cold_user = np.array([case.is_new_user for case in cases])
    cold_item = np.array([bool((popularity[case.targets] == 0).all()) for case in cases])
    length = np.array([len(case.history) for case in cases])
    found = {
        "warm user, warm item": ~cold_user & ~cold_item,
        "warm user, cold item": ~cold_user & cold_item,
        "cold user, warm item": cold_user & ~cold_item,
        "cold user, cold item": cold_user & cold_item,
        "history 0": length == 0,
        "history 1-3": (length >= 1) & (length <= 3),
        "history 4+": length >= 4,
    }
    return {name: mask for name, mask in found.items() if mask.any()}


def cold_among_cold(cases: Sequence[Case], popularity: Vector) -> list[Case]:
    """Returns the cases with a cold target, asked for those alone with every warm item barred.

    What a ranking knows of items without users in the past shows here: among all items the warm ones crowd them out.
    """
    warm = np.flatnonzero(popularity > 0)
    found = []
    for case in cases:
        targets = case.targets[popularity[case.targets] == 0]
        if len(targets):
            found.append(replace(case, targets=targets, barred=warm))
    return found
