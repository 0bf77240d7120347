"""Evaluating rankers on a future that none of them saw: one table for all, slices, intervals, popularity.

Who ranks and how it was fitted is the caller's business; `hold_out` gives it the past, and nothing but the past.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import DataError
from models.training import metrics
from models.training.baselines.base import Baseline, Tuned, tune
from models.training.encodings import Encodings
from models.training.evaluation import (
    COMPARED_AT,
    Comparison,
    DataFacts,
    Evaluation,
    PoolFacts,
    RankerKind,
    RankerResult,
    Ratio,
    SliceResult,
    TaskResult,
)
from models.training.interactions import Interactions
from models.training.judge import CUTOFFS, Ranker, cold_among_cold, judge, rank_by_scores, slices
from models.training.popularity_bands import band_shares, bands_of
from models.training.split import TASKS, Case, Split, Task, draw, is_known, split
from models.types import Matrix, Rows, Vector

# A fifth of the users where there are no times; with a clock the newest tenth of the events.
_USERS_SHARE = 0.2
_MAX_CASES = 10_000
_CURVE = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100)
_DEPTH = max(CUTOFFS)
COLD = "cold items among cold items"


@dataclass(frozen=True, slots=True)
class Contender:
    """A ranker with what the table says of it.

    Attributes:
        name: As tables and plots show it.
        kind: Product, baseline or a part of the product.
        rankers: By task that it can answer.
        tuned: What validation chose, by task, where the evaluation tuned it.
        seconds: Of its fit.
    """

    name: str
    kind: RankerKind
    rankers: Mapping[Task, Ranker]
    tuned: Mapping[Task, Tuned]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """The questions, and what judging needs.

    Attributes:
        held_out: Past and cases.
        cases: What is asked, by task.
        facts: For the report.
        popularity: Of the items in the past, shape `(n_items,)`.
        embeddings: Of the items, shape `(n_items, dim)`.
    """

    held_out: Split
    cases: dict[Task, list[Case]]
    facts: DataFacts
    popularity: Vector
    embeddings: Matrix

    @property
    def past(self) -> Interactions:
        """All that a ranker may be fitted on."""
        return self.held_out.past


def past_and_future(interactions: Interactions, *, seed: int = 0, after: float | None = None) -> Split:
    """Returns what an evaluation fits on and asks; `hold_out` makes the exam of it.

    Args:
        interactions: Everything that is known.
        seed: Of the split.
        after: With a clock: asks for what came later, whatever share it is.

    Raises:
        DataError: The interactions leave nothing to judge by.
    """
    held_out = split(interactions, seed=seed, after=after)
    return split(interactions, seed=seed, share=_USERS_SHARE) if held_out.holdout == "users" else held_out


def hold_out(interactions: Interactions, embeddings: Matrix, *, seed: int = 0, after: float | None = None) -> Exam:
    """Returns the past and the questions about the future.

    Args:
        interactions: Everything that is known.
        embeddings: Of the items, shape `(n_items, dim)`.
        seed: Of the split and the cases drawn.
        after: With a clock: asks for what came later, whatever share it is.

    Raises:
        DataError: The interactions leave nothing to judge by.
    """
    held_out = past_and_future(interactions, seed=seed, after=after)
    _check_past(interactions, held_out)
    cases = {task: draw(held_out.cases, task, _MAX_CASES, seed) for task in TASKS}
    cases = {task: group for task, group in cases.items() if group}
    if not cases:
        raise DataError(
            f"of none of the {len(held_out.cases)} users of the future is anything known from the past; users with"
            " events on both sides are needed"
        )
    facts = DataFacts(
        n_items=len(embeddings),
        n_users=len(interactions.user_ids),
        n_interactions=len(interactions),
        n_past=len(held_out.past),
        holdout=held_out.holdout,
        cut=_cut(interactions, held_out),
        seed=seed,
        n_cases={task: len(group) for task, group in cases.items()},
        n_cases_found={task: len(draw(held_out.cases, task, len(held_out.cases), seed)) for task in cases},
        n_unknown=sum(not is_known(case) for case in held_out.cases),
    )
    return Exam(held_out, cases, facts, held_out.past.popularity(len(embeddings)), embeddings)


def tuned_baseline(baseline: Baseline, exam: Exam, encodings: Encodings) -> Contender | None:
    """Returns a baseline tuned and fitted on the exam's past; None where that has nothing for it."""
    start = time.perf_counter()
    tuned = tune(baseline, exam.past, encodings, seed=exam.facts.seed)
    rankers = {task: ByScores(found) for task, found in tuned.items() if task in exam.cases}
    if not rankers:
        return None
    return Contender(baseline.name, baseline.kind, rankers, tuned, time.perf_counter() - start)


@dataclass(frozen=True, slots=True)
class ByScores:
    """Ranks by a scorer."""

    scorer: Tuned

    def rank(self, cases: Sequence[Case], k: int) -> Rows:
        """Returns the k best items of each case."""
        return rank_by_scores(self.scorer, cases, k)


def pool_of(ranker: Ranker, cases: Sequence[Case], *, k: int, size: int) -> PoolFacts:
    """Returns what the best `size` items of a ranker hold of the right answers.

    Args:
        ranker: Makes the pool, as the relation head gets it.
        cases: What is asked.
        k: Candidates that are asked for.
        size: Of the pool.
    """
    hits, n_relevant = _found(ranker.rank(cases, size), cases)
    found = np.minimum(hits.sum(axis=1), k) / np.minimum(k, n_relevant)
    return PoolFacts(k=k, size=size, recall=float(found.mean()))


class Evaluator:
    """Judges contenders one after the other, and compares them.

    Args:
        exam: What is asked.
    """

    def __init__(self, exam: Exam) -> None:
        self._exam = exam
        self._bands = bands_of(exam.popularity)
        self._results: list[RankerResult] = []
        self._recall: dict[tuple[str, Task], dict[int, metrics.PerUser]] = {}

    def add(self, contender: Contender) -> RankerResult:
        """Ranks for every case that the contender can answer, and judges it."""
        start = time.perf_counter()
        tasks = {task: self._judge(contender, task) for task in self._exam.cases if task in contender.rankers}
        seconds = contender.seconds + time.perf_counter() - start
        result = RankerResult(name=contender.name, kind=contender.kind, tasks=tasks, seconds=round(seconds, 3))
        self._results.append(result)
        return result

    def compare(self, ours: str, theirs: str, task: Task, k: int) -> Comparison:
        """Returns recall@k of two contenders, case by case."""
        left, right = self._recall[ours, task][k], self._recall[theirs, task][k]
        difference, low, high = metrics.paired_interval(left, right, seed=self._exam.facts.seed)
        ratio = metrics.paired_ratio(left, right, seed=self._exam.facts.seed)
        return Comparison(
            task=task,
            figure=f"recall@{k}",
            ours=ours,
            theirs=theirs,
            ours_value=float(left.mean()),
            theirs_value=float(right.mean()),
            difference=difference,
            low=low,
            high=high,
            ratio=Ratio(value=ratio[0], low=ratio[1], high=ratio[2]) if ratio is not None else None,
        )

    def recall_of(self, name: str, task: Task, k: int) -> metrics.PerUser:
        """Returns recall@k of a contender at each case of a task, shape `(n_cases,)`."""
        return self._recall[name, task][k]

    def best_baseline(self, task: Task) -> str | None:
        """Returns the baseline with the best recall@50 on the test cases: the hardest one to beat."""
        figure = f"recall@{COMPARED_AT}"
        found = [result for result in self._results if result.kind == "baseline" and task in result.tasks]
        return max(found, key=lambda result: result.tasks[task].figures[figure]).name if found else None

    def parts(self, task: Task) -> list[str]:
        """Returns the parts of the product that were judged alone at a task."""
        return [result.name for result in self._results if result.kind == "part" and task in result.tasks]

    def evaluation(self, comparisons: Sequence[Comparison]) -> Evaluation:
        """Returns everything judged so far."""
        targets = {
            task: band_shares(self._bands, np.concatenate([case.targets for case in cases]))
            for task, cases in self._exam.cases.items()
        }
        everything = np.arange(len(self._exam.popularity))
        return Evaluation(
            data=self._exam.facts,
            bands=band_shares(self._bands, everything),
            targets=targets,
            rankers=self._results,
            comparisons=list(comparisons),
        )

    def _judge(self, contender: Contender, task: Task) -> TaskResult:
        cases = self._exam.cases[task]
        ranked = contender.rankers[task].rank(cases, _DEPTH)
        judged = judge(ranked, cases, popularity=self._exam.popularity, embeddings=self._exam.embeddings)
        self._recall[contender.name, task] = judged.recall
        hits, n_relevant = _found(ranked, cases)
        tuned = contender.tuned.get(task)
        return TaskResult(
            figures=judged.figures,
            curve={k: float(metrics.recall_at(hits, n_relevant, k).mean()) for k in _CURVE},
            slices=self._slices(contender.rankers[task], cases, judged.recall),
            popularity=band_shares(self._bands, ranked[:, :COMPARED_AT]),
            setting={} if tuned is None else {**tuned.setting, "decay": tuned.decay},
            validation=None if tuned is None else tuned.validation,
            trials=None if tuned is None else tuned.trials,
        )

    def _slices(
        self, ranker: Ranker, cases: Sequence[Case], recall: Mapping[int, metrics.PerUser]
    ) -> dict[str, SliceResult]:
        found = {
            name: SliceResult(n_cases=int(mask.sum()), recall={k: float(recall[k][mask].mean()) for k in recall})
            for name, mask in slices(cases, self._exam.popularity).items()
        }
        if cold := cold_among_cold(cases, self._exam.popularity):
            hits, n_relevant = _found(ranker.rank(cold, _DEPTH), cold)
            means = {k: float(metrics.recall_at(hits, n_relevant, k).mean()) for k in CUTOFFS}
            found[COLD] = SliceResult(n_cases=len(cold), recall=means)
        return found


def _found(ranked: Rows, cases: Sequence[Case]) -> tuple[metrics.Hits, Rows]:
    """Returns where right answers stand, and how many each case has."""
    return metrics.hits_of(ranked, [case.targets for case in cases]), np.array([len(case.targets) for case in cases])


def _cut(interactions: Interactions, held_out: Split) -> float | None:
    if held_out.holdout != "clock":
        return None
    assert interactions.times is not None
    assert held_out.past.times is not None
    later = interactions.times[interactions.times > held_out.past.times.max()]
    return float(later.min())


def _check_past(interactions: Interactions, held_out: Split) -> None:
    """Asserts that nothing of the future is in the past: no later event, no event of a case's target."""
    past = held_out.past
    if held_out.holdout == "clock":
        assert interactions.times is not None
        assert past.times is not None
        n_before = int((interactions.times <= past.times.max()).sum())
        assert n_before == len(past), "the past holds events as late as the future's"
    seen = set(zip(past.users.tolist(), past.items.tolist(), strict=True))
    for case in held_out.cases:
        asked = {(case.user, item) for item in case.targets.tolist()}
        assert not asked & seen, "a target stands in its user's past"
