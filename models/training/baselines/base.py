"""What every baseline is, and how its setting is chosen: on the newest part of the past, never on the test."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.sparse import csr_matrix

from models.errors import DataError
from models.training.encodings import Encodings
from models.training.interactions import Interactions
from models.training.judge import rank_by_scores
from models.training.l3ae import history_matrix
from models.training.metrics import hits_of, recall_at
from models.training.split import TASKS, Case, Task, draw, events_by_user, split
from models.types import Matrix, Vector

# Settings tried by each baseline, at most; a setting is what is fitted with, times the decay of older events.
MAX_TRIALS = 12
TUNED_AT = 50
# As many as choose the product's own weights, and of large catalogues at least so many.
_MAX_CASES, _LEAST_CASES, _MAX_SCORES = 2_000, 600, 40_000_000
_TIE_BREAK = 1e-5

Setting = Mapping[str, float]
Kind = Literal["baseline", "part"]
"""A "part" is one of the product's own, shown beside it and not counted as a baseline."""

Scores = Callable[[Sequence[Case], float], Matrix]
"""Scores of cases by a decay: what each step back in texts or history multiplies a weight by."""


class Baseline(Protocol):
    """A way of recall.

    Attributes:
        name: As the table shows it.
        kind: Whether it stands for others' ways or is a part of the product.
        tasks: What it can answer: a way that reads histories only has nothing to say of texts alone.
        settings: What it is fitted with, one after the other.
        decays: How much older events count; only (1,) is tried where the events have no order.
    """

    name: str
    kind: Kind
    tasks: frozenset[Task]
    settings: Sequence[Setting]
    decays: tuple[float, ...]

    def fits(self, past: Interactions) -> bool:
        """Returns whether the past has what it needs."""

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns the way of scoring that the past and a setting make."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A baseline with its best setting for one task, fitted on the whole past; a `judge.Scorer`.

    Attributes:
        compute: The way of scoring.
        popularity: Of the items in the past, shape `(n_items,)`: orders items with equal scores.
        setting: What it was fitted with.
        decay: How much older events count.
        validation: Mean recall@50 on the validation cases; None where there were none.
        trials: How many settings were tried.
        seconds: Of the last fit.
    """

    compute: Scores
    popularity: Vector
    setting: Setting
    decay: float
    validation: float | None = None
    trials: int = 0
    seconds: float = 0.0

    def scores(self, cases: Sequence[Case]) -> Matrix:
        """Returns a score for each case and item, shape `(n_cases, n_items)`."""
        scores = self.compute(cases, self.decay)
        # Most ways score most items 0, and all of them where they know nothing: what then comes first is no matter of
        # the item's row. Too little to change the order of scores that differ.
        largest = np.abs(scores).max(axis=1, keepdims=True)
        weights = _TIE_BREAK * np.where(largest > 0, largest, 1)
        broken: Matrix = (scores + weights * (self.popularity / (self.popularity.max() + 1))).astype(np.float32)
        return broken


@dataclass(frozen=True, slots=True)
class _Trial:
    recall: float
    number: int
    decay: float


def tune(baseline: Baseline, past: Interactions, encodings: Encodings, *, seed: int = 0) -> dict[Task, Tuned]:
    """Returns, by task, the baseline with the setting of the best mean recall@50 on validation, refitted on the past.

    Where the past leaves nothing to validate on, it is the middle of the grid.

    Args:
        baseline: What is tuned.
        past: All that may be known; its newest part validates, as `split` chooses it.
        encodings: Of items and texts.
        seed: Of the split, the cases drawn and the fits.
    """
    if not baseline.fits(past):
        return {}
    tried = _try_all(baseline, past, encodings, seed)
    found: dict[Task, Tuned] = {}
    fitted: dict[int, tuple[Scores, float]] = {}
    for task, trials in tried.items():
        middle = _Trial(0.0, len(baseline.settings) // 2, baseline.decays[0])
        best = max(trials, key=lambda trial: trial.recall, default=middle)  # the first of equals
        if best.number not in fitted:
            start = time.perf_counter()
            scores = baseline.fit(past, encodings, baseline.settings[best.number], seed=seed)
            fitted[best.number] = scores, time.perf_counter() - start
        scores, seconds = fitted[best.number]
        found[task] = Tuned(
            compute=scores,
            popularity=past.popularity(encodings.n_items),
            setting=baseline.settings[best.number],
            decay=best.decay,
            validation=best.recall if trials else None,
            trials=len(trials),
            seconds=round(seconds, 3),
        )
    return found


def _try_all(baseline: Baseline, past: Interactions, encodings: Encodings, seed: int) -> dict[Task, list[_Trial]]:
    """Returns the recall of every setting by task; none where there is nothing to validate on."""
    tried: dict[Task, list[_Trial]] = {task: [] for task in TASKS if task in baseline.tasks}
    try:
        held_out = split(past, seed=seed)
    except DataError:
        return tried
    limit = min(_MAX_CASES, max(_LEAST_CASES, _MAX_SCORES // encodings.n_items))
    by_task = {task: draw(held_out.cases, task, limit, seed) for task in tried}
    decays = baseline.decays if past.times is not None else (1.0,)
    assert len(baseline.settings) * len(decays) <= MAX_TRIALS
    popularity = held_out.past.popularity(encodings.n_items)
    for number, setting in enumerate(baseline.settings if any(by_task.values()) else ()):
        scores = baseline.fit(held_out.past, encodings, setting, seed=seed)
        for decay in decays:
            for task, cases in by_task.items():
                if cases:
                    recall = _recall(Tuned(scores, popularity, setting, decay), cases)
                    tried[task].append(_Trial(recall, number, decay))
    return tried


def consumed(past: Interactions, n_items: int) -> csr_matrix:
    """Returns who consumed what, 1 for each pair, shape `(n_users_of_the_past, n_items)`."""
    histories = [events.items for events in events_by_user(past).values()]
    return history_matrix(histories, n_items, longest=max((len(items) for items in histories), default=1))


def case_histories(cases: Sequence[Case], n_items: int, decay: float) -> csr_matrix:
    """Returns the cases' histories, older events decayed, shape `(n_cases, n_items)`."""
    return history_matrix([case.history for case in cases], n_items, decay=decay)


def _recall(scorer: Tuned, cases: Sequence[Case]) -> float:
    ranked = rank_by_scores(scorer, cases, TUNED_AT)
    hits = hits_of(ranked, [case.targets for case in cases])
    n_relevant = np.array([len(case.targets) for case in cases])
    return float(recall_at(hits, n_relevant, TUNED_AT).mean())
