"""The exam is fair: nothing of the future reaches a ranker, and where nothing can be known, nothing is found."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.errors import DataError
from models.training import evaluate
from models.training.baselines import all_baselines
from models.training.evaluate import Contender, Evaluator, Exam, hold_out, pool_of, tuned_baseline
from models.training.evaluation import Evaluation, Ratio
from models.training.interactions import Interactions
from models.training.judge import CUTOFFS
from models.training.split import Case, events_by_user, is_known
from models.types import Rows
from tests.models.training.worlds import World

METRICS = ("recall", "precision", "ndcg", "mrr", "coverage", "novelty", "diversity", "popularity_bias")


def exam_of(world: World) -> Exam:
    return hold_out(world.interactions, world.encodings.items)


class Oracle:
    """Ranks the right answers first."""

    def rank(self, cases: Sequence[Case], k: int) -> Rows:
        return np.stack(
            [np.pad(case.targets[:k], (0, max(0, k - len(case.targets))), constant_values=-1) for case in cases]
        )


class Wrong:
    """Never ranks a right answer."""

    def rank(self, cases: Sequence[Case], k: int) -> Rows:
        return np.stack([np.setdiff1d(np.arange(80), case.targets)[:50] for case in cases])


def contender(name: str, ranker: Oracle | Wrong, exam: Exam) -> Contender:
    return Contender(name, "product", {task: ranker for task in exam.cases}, {})


def evaluated(world: World, *names: str) -> tuple[Evaluation, Evaluator]:
    exam = exam_of(world)
    evaluator = Evaluator(exam)
    for baseline in all_baselines(world.item_texts, world.user_texts, world.item_times):
        if baseline.name in names and (found := tuned_baseline(baseline, exam, world.encodings)) is not None:
            evaluator.add(found)
    return evaluator.evaluation([]), evaluator


def test_with_a_clock_the_past_ends_before_the_future_begins() -> None:
    world = World()
    exam = exam_of(world)
    assert world.interactions.times is not None
    assert exam.past.times is not None
    assert exam.facts.holdout == "clock"
    assert exam.facts.cut is not None
    assert exam.past.times.max() < exam.facts.cut
    assert len(exam.past) == (world.interactions.times < exam.facts.cut).sum()
    events = events_by_user(world.interactions)
    for case in [case for cases in exam.cases.values() for case in cases]:
        own = events[case.user]
        assert own.times is not None
        assert own.times[np.isin(own.items, case.targets)].min() >= exam.facts.cut
        written_late = {text for text, time in zip(own.texts, own.times, strict=True) if time >= exam.facts.cut}
        assert not written_late & set(case.texts)


def test_with_positions_the_last_event_of_each_user_is_the_future() -> None:
    exam = exam_of(World(clock=False))
    assert (exam.facts.holdout, exam.facts.cut) == ("last", None)
    assert len(exam.past) == exam.facts.n_interactions - exam.facts.n_cases["history"]
    assert all(len(case.history) == 6 for case in exam.cases["history"])


def test_without_times_a_fifth_of_the_users_is_unseen() -> None:
    exam = exam_of(World(ordered=False))
    assert exam.facts.holdout == "users"
    assert len(exam.cases["history"]) == 30
    assert not set(exam.past.users.tolist()) & {case.user for case in exam.cases["history"]}


def test_users_of_whom_nothing_is_known_are_counted_and_not_asked_about() -> None:
    """The last tenth of the events is that of 15 users who come with it."""
    world = World()
    known = world.interactions
    assert known.times is not None
    late = np.where(known.users >= 135, known.times + 100_000, known.times)
    exam = hold_out(replace(known, times=late), world.encodings.items)
    assert exam.facts.n_unknown == 15
    assert all(is_known(case) for cases in exam.cases.values() for case in cases)


def test_where_nobody_is_known_there_is_nothing_to_judge() -> None:
    """The newest tenth of the events is that of 20 users who come with it, all at one moment."""
    world = World()
    known = world.interactions
    assert known.times is not None
    late = np.where(known.users >= 130, 100_000, known.times)
    with pytest.raises(DataError, match="is anything known from the past"):
        hold_out(replace(known, times=late), world.encodings.items)


def test_where_everybody_comes_once_the_last_of_each_basket_is_asked_for() -> None:
    world = World()
    baskets = replace(world.interactions, times=world.interactions.users.astype(np.float64))
    exam = hold_out(baskets, world.encodings.items)
    assert exam.facts.holdout == "last"
    assert len(exam.cases["history"]) == 150


def test_a_future_that_leaks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A split that hands out everything as the past doesn't get through."""
    world = World()
    honest = evaluate.split

    def leaky(interactions: Interactions, **options: object):
        found = honest(interactions, **options)  # type: ignore[arg-type]
        return type(found)(found.holdout, interactions, found.cases)

    monkeypatch.setattr(evaluate, "split", leaky)
    with pytest.raises(AssertionError, match="target stands in its user's past"):
        exam_of(world)


def test_baselines_are_tuned_and_fitted_on_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    exam = exam_of(world)
    seen: list[Interactions] = []
    for baseline in all_baselines(world.item_texts, world.user_texts, world.item_times):
        fit = type(baseline).fit
        monkeypatch.setattr(
            type(baseline),
            "fit",
            lambda self, past, *rest, fit=fit, **seed: seen.append(past) or fit(self, past, *rest, **seed),
        )
        assert tuned_baseline(baseline, exam, world.encodings) is not None
    assert exam.facts.cut is not None
    assert len(seen) > 40
    assert max(past.times.max() for past in seen if past.times is not None) < exam.facts.cut


def test_an_oracle_finds_everything_and_its_opposite_nothing() -> None:
    exam = exam_of(World())
    evaluator = Evaluator(exam)
    evaluator.add(contender("oracle", Oracle(), exam))
    evaluator.add(contender("wrong", Wrong(), exam))
    oracle, wrong = evaluator.evaluation([]).rankers
    for task in exam.cases:
        assert {f"{metric}@{k}" for metric in METRICS for k in CUTOFFS} == set(oracle.tasks[task].figures)
        assert oracle.tasks[task].figures["recall@10"] == 1
        assert wrong.tasks[task].figures["recall@50"] == 0
    assert oracle.tasks["history"].popularity == pytest.approx(evaluator.evaluation([]).targets["history"])
    found = evaluator.compare("oracle", "wrong", "history", 50)
    assert (found.difference, found.low, found.high, found.ratio) == (1, 1, 1, None)
    assert evaluator.compare("wrong", "oracle", "history", 50).ratio == Ratio(value=0, low=0, high=0)


def test_a_pool_holds_what_its_ranker_found() -> None:
    """Two right answers among three places are all that two candidates can be."""
    targets = np.array([4, 5, 6])
    case = Case(0, "text", np.empty(0, np.int64), (), targets, is_new_user=True)
    found = pool_of(Oracle(), [case], k=2, size=3)
    assert (found.k, found.size, found.recall) == (2, 3, 1)
    assert pool_of(Oracle(), [case], k=10, size=2).recall == 2 / 3


def test_slices_add_up_to_the_whole() -> None:
    evaluation, _ = evaluated(World(clock=False), "item-kNN")
    (ranker,) = evaluation.rankers
    result = ranker.tasks["history"]
    groups = [name for name in result.slices if name.startswith("history ")]
    n_cases = evaluation.data.n_cases["history"]
    assert sum(result.slices[name].n_cases for name in groups) == n_cases
    weighted = sum(result.slices[name].n_cases * result.slices[name].recall[50] for name in groups) / n_cases
    assert weighted == pytest.approx(result.figures["recall@50"])
    assert result.curve[50] == pytest.approx(result.figures["recall@50"])
    assert list(result.curve.values()) == sorted(result.curve.values())


def test_cold_items_have_a_slice_among_themselves() -> None:
    """Half of the catalogue is made cold; who never finds a right answer doesn't find a cold one either."""
    exam = exam_of(World())
    cold = np.arange(80) % 2 == 0
    exam = replace(exam, popularity=np.where(cold, 0, exam.popularity).astype(np.float32))
    evaluator = Evaluator(exam)
    found = [
        evaluator.add(contender(name, ranker, exam)).tasks["history"].slices["cold items among cold items"]
        for name, ranker in (("oracle", Oracle()), ("wrong", Wrong()))
    ]
    n_cases = sum(bool(cold[case.targets].any()) for case in exam.cases["history"])
    assert [(one.n_cases, one.recall[10]) for one in found] == [(n_cases, 1), (n_cases, 0)]
    assert "cold items among cold items" not in evaluated(World(), "popularity")[0].rankers[0].tasks["text"].slices


def test_the_hardest_baseline_is_the_best_on_the_test() -> None:
    evaluation, evaluator = evaluated(World(), "popularity", "EASE", "zero-shot", "plain L3AE")
    figures = {ranker.name: ranker.tasks["history"].figures["recall@50"] for ranker in evaluation.rankers}
    del figures["plain L3AE"]  # ours, if only in part
    assert evaluator.best_baseline("history") == max(figures, key=lambda name: figures[name])
    assert evaluator.parts("history") == ["plain L3AE"]
    assert evaluator.parts("text") == []


def test_baselines_find_themes_and_nothing_where_targets_are_shuffled() -> None:
    """With real themes the neighbours beat popularity by far; with shuffled ones nobody beats it beyond noise."""
    names = ("popularity", "item-kNN", "EASE", "user-text kNN", "iALS")
    real, _ = evaluated(World(n_users=300), *names)
    shuffled, _ = evaluated(World(n_users=300, shuffled=True), *names)

    def recall(evaluation: Evaluation) -> dict[str, float]:
        return {ranker.name: ranker.tasks["history"].figures["recall@10"] for ranker in evaluation.rankers}

    found = recall(real)
    assert min(found[name] for name in names[1:]) > 2 * found["popularity"]
    found = recall(shuffled)
    assert max(found[name] for name in names[1:]) < found["popularity"] + 0.07


def test_many_cases_are_drawn_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "_MAX_CASES", 20)
    facts = exam_of(World()).facts
    assert facts.n_cases == {"history": 20, "text": 20}
    assert min(facts.n_cases_found.values()) > 20


def test_an_evaluation_survives_json() -> None:
    evaluation, _ = evaluated(World(n_users=40), "popularity")
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_a_seed_repeats() -> None:
    first, _ = evaluated(World(n_users=60), "popularity, recent", "iALS")
    second, _ = evaluated(World(n_users=60), "popularity, recent", "iALS")
    assert _timeless(first) == _timeless(second)


def _timeless(evaluation: Evaluation) -> Evaluation:
    rankers = [ranker.model_copy(update={"seconds": 0.0}) for ranker in evaluation.rankers]
    return evaluation.model_copy(update={"rankers": rankers})
