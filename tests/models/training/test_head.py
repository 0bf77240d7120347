"""Fitting the feature head: it finds an order that the recall score misses, and ships only where it helps."""

from dataclasses import replace

import numpy as np
import pytest

from models.fused import SITUATIONS
from models.relation_features import N_FEATURES
from models.relation_head import FeatureHead
from models.training.head import Pools, _better, fit_head
from models.training.head_network import HeadFit, HeadNetwork, PoolFeatures
from models.types import JsonValue, Matrix, Rows
from tests.quick_fits import fit_thoroughly


def pools(n_cases: int, *, told_by: int, noise: float, seed: int = 0) -> Pools:
    """Pools of 40 in which one feature tells the right answer, and the recall score is noise."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_cases, 40, N_FEATURES)).astype(np.float32)
    truth = features[:, :, told_by] + noise * rng.standard_normal((n_cases, 40))
    right = truth == truth.max(axis=1, keepdims=True)
    is_query = np.arange(n_cases) % 4 == 0
    return Pools(features, right, np.ones(n_cases, np.int64), np.where(is_query, "query", "history"), ~is_query)


def acting(figures: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """In which situations the head was measured, and whether it acts there."""
    measured = figures["situations"]
    assert isinstance(measured, dict)
    return {name: found["acts"] for name, found in measured.items() if isinstance(found, dict)}


def recall_at_10(figures: dict[str, JsonValue], when: str) -> float:
    """What was measured before or after the head."""
    measured = figures[when]
    assert isinstance(measured, dict)
    found = measured["recall@10"]
    assert isinstance(found, float)
    return found


def test_a_telling_feature_is_found_and_shipped() -> None:
    head, figures = fit_head(pools(400, told_by=5, noise=0.2))
    assert head is not None
    assert figures["shipped"] is True
    assert recall_at_10(figures, "after") > recall_at_10(figures, "before") + 0.4
    features = np.zeros((2, N_FEATURES), np.float32)
    features[1, 5] = 2
    assert head.score(features)[1] > head.score(features)[0]


def test_it_sits_out_the_situations_in_which_it_loses() -> None:
    """What tells the right answer of users tells nothing of queries, whose recall score is right already."""
    source = pools(400, told_by=5, noise=0.2)
    by_recall = source.features[:, :, 0]
    right = np.where(source.of_users[:, None], source.right, by_recall == by_recall.max(axis=1, keepdims=True))
    head, figures = fit_head(replace(source, right=right))
    assert head is not None
    assert head.situations == ("history",)  # what nobody measured, texts, doesn't act either
    assert acting(figures) == {"history": True, "query": False}


@pytest.mark.parametrize(("n_users", "acts"), [(99, True), (100, False)])
def test_with_enough_users_words_of_items_say_nothing_of_queries(n_users: int, *, acts: bool) -> None:
    """Here the head finds what most words ask for, and hides what users who write as little do."""
    source = pools(1_000, told_by=5, noise=0.2)
    by_recall = source.features[:, :, 0]
    hidden = np.arange(1_000) < n_users
    right = np.where(hidden[:, None], by_recall == by_recall.max(axis=1, keepdims=True), source.right)
    situations = np.where(hidden | ~source.of_users, "query", "history")
    _, figures = fit_head(replace(source, right=right, situations=situations, of_users=hidden | source.of_users))
    assert acting(figures)["query"] is acts


def test_few_cases_say_nothing_of_a_situation() -> None:
    source = pools(400, told_by=5, noise=0.2)
    situations = np.where(np.arange(400) < 99, "text", "history")
    _, figures = fit_head(replace(source, situations=situations))
    assert acting(figures) == {"history": True}


def test_where_nothing_is_measured_it_acts_if_it_does_wherever_something_is() -> None:
    head, _ = fit_head(pools(400, told_by=5, noise=0.2))
    assert head is not None
    assert head.situations == SITUATIONS


def test_where_the_recall_score_is_right_already_nothing_worse_ships() -> None:
    """The cross-fitted judge sees that there is nothing to win."""
    assert fit_head(pools(400, told_by=0, noise=0.0))[0] is None


def test_noise_is_not_shipped() -> None:
    """Right answers that nothing tells: what a head learns of them is worth nothing on other cases."""
    source = pools(300, told_by=0, noise=0.0)
    shuffled = np.take_along_axis(
        source.right, np.random.default_rng(1).permuted(np.tile(np.arange(40), (300, 1)), axis=1), axis=1
    )
    first = np.argsort(-source.features[:, :, 0], axis=1)[:, :1]
    right = np.where(np.arange(300)[:, None] % 2 == 0, shuffled, np.arange(40) == first)
    head, figures = fit_head(replace(source, right=right))
    assert head is None
    assert figures["shipped"] is False


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [
        (0.02, 0.006, True),  # 1.4 standard errors at one cutoff, but a gain on the mean
        (0.02, 0.02, False),  # a loss beyond chance at one cutoff
        (0.004, None, False),  # a gain of less than a standard error is chance
        (0.005, None, True),
        (-0.001, 0.0, False),  # within chance, but nothing gained
        (0.0, 0.0, False),
    ],
)
def test_only_a_gain_beyond_chance_counts_and_a_loss_within_it_does_not(
    gained: float, lost: float | None, *, expected: bool
) -> None:
    noise = np.tile([0.135, -0.135], 500)  # a standard error of .0043
    before = {k: np.zeros(1_000) for k in (10, 20, 50, 100)}
    after = {k: noise + gained for k in (10, 20, 50)} | {100: noise + (gained if lost is None else -lost)}
    assert _better(before, after, np.ones(1_000, np.bool_)) is expected


def test_one_lucky_draw_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged are means over three draws of folds and starts, of which here the first finds all, the others nothing."""
    fit_thoroughly(monkeypatch)
    source = pools(400, told_by=0, noise=0.5)

    def drawn(source: Pools, _: Rows, __: HeadFit, seed: int) -> Matrix:
        right = source.right.astype(np.float32)
        return right if seed == 7 else -right

    monkeypatch.setattr("models.training.head._drawn", drawn)
    head, figures = fit_head(source, seed=7)
    assert head is None
    assert recall_at_10(figures, "after") == pytest.approx(1 / 3, abs=1e-4)


@pytest.mark.parametrize("found", [False, True], ids=["without right answer", "with one"])
def test_what_ships_learns_from_heads_that_did_not_see_a_pool(monkeypatch: pytest.MonkeyPatch, *, found: bool) -> None:
    """They have it that feature 7 tells, which no right answer says; of half of the pools there is none."""
    source = pools(800, told_by=5, noise=0.0)
    empty = np.arange(800) % 2 == 1
    source = replace(source, right=source.right & ~empty[:, None])

    def drawn(source: Pools, _: Rows, __: HeadFit, ___: int) -> Matrix:
        teaches = (source.right.any(axis=1) == found)[:, None]
        best: Matrix = np.where(source.right, 100, source.features[:, :, 0])
        return np.where(teaches, 100 * source.features[:, :, 7], best)

    monkeypatch.setattr("models.training.head._drawn", drawn)
    monkeypatch.setattr("models.training.head._better", lambda *_: True)
    head, _ = fit_head(source)
    assert head is not None
    features = np.zeros((3, N_FEATURES), np.float32)
    features[1, 7] = features[2, 4] = 2
    nothing, by_feature_7, by_feature_4 = head.score(features)
    assert by_feature_7 > nothing + 1 > by_feature_4


def test_what_is_wanted_is_six_tenths_right_answers_and_the_mean_of_all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: where no right answer stands in the pool, the draws' softmax alone."""
    fit_thoroughly(monkeypatch)
    source, found = pools(800, told_by=5, noise=0.0), np.arange(800) % 2 == 0
    source = replace(source, right=source.right & found[:, None])
    wanted: list[Matrix] = []
    start = HeadFit.__init__

    def kept(self: HeadFit, features: PoolFeatures, shares: Matrix) -> None:
        wanted.append(shares)
        start(self, features, shares)

    def drawn(source: Pools, _: Rows, __: HeadFit, seed: int) -> Matrix:
        return source.features[:, :, 7 + seed]

    monkeypatch.setattr(HeadFit, "__init__", kept)
    monkeypatch.setattr("models.training.head._drawn", drawn)
    monkeypatch.setattr("models.training.head._better", lambda *_: True)
    fit_head(source)
    likely = np.exp(source.features[:, :, 7:10].mean(axis=2))
    likely /= likely.sum(axis=1, keepdims=True)
    expected = np.where(found[:, None], 0.6 * source.right + 0.4 * likely, likely)
    np.testing.assert_allclose(wanted[-1], expected, atol=1e-6)


def test_nobody_teaches_of_users_of_whom_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    source = pools(800, told_by=5, noise=0.2)
    unknown = np.arange(800) % 2 == 1
    silent = replace(
        source, right=source.right & ~unknown[:, None], situations=np.where(unknown, "", source.situations)
    )
    fitted: list[Rows] = []
    fit = HeadFit.fit

    def counted(self: HeadFit, rows: Rows, network: HeadNetwork, *, seed: int) -> FeatureHead:
        fitted.append(rows)
        return fit(self, rows, network, seed=seed)

    monkeypatch.setattr(HeadFit, "fit", counted)
    fit_head(silent)
    assert len(fitted[-1]) == 400


def test_too_few_pools_fit_nothing_and_say_so() -> None:
    """Queries don't count: a fourth of these are."""
    head, figures = fit_head(pools(20, told_by=5, noise=0.1))
    assert head is None
    assert figures["why"] == "15 pools of users hold a right answer"
    assert fit_head(pools(240, told_by=5, noise=0.1))[0] is None


def test_a_seed_repeats() -> None:
    source = pools(280, told_by=5, noise=0.2)
    first, second = fit_head(source)[0], fit_head(source)[0]
    assert first is not None
    assert second is not None
    for name, tensor in first.tensors.items():
        np.testing.assert_array_equal(tensor, second.tensors[name])
