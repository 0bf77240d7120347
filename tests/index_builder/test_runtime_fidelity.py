import numpy as np
import pytest

from index_builder.runtime_fidelity import Fidelity, Found, RecallLoss, fidelity
from tests.artifacts import unit_rows

NOBODY_KNOWS = [np.empty(0, np.int64)] * 4
ROWS = np.arange(40).reshape(4, 10)


def found(rows: np.ndarray, *, turned: float = 0.0) -> Found:
    """The same embeddings, each moved by `turned`."""
    vectors = unit_rows(4, 8) + turned * unit_rows(4, 8, seed=1)
    return Found((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), rows)


def test_the_reference_is_perfectly_faithful_to_itself() -> None:
    same = fidelity(found(ROWS), found(ROWS), [np.array([row, 99]) for row in (0, 10, 20, 35)])
    assert (same.overlap, same.passes) == (1.0, True)
    assert same.min_cosine == pytest.approx(1, abs=1e-6)
    assert same.loss == RecallLoss(share=0.0, low=0.0, high=0.0, cases=4)


def test_overlap_is_the_mean_share_whatever_the_order() -> None:
    half = ROWS[:, ::-1].copy()
    half[:2, :5] += 100
    near = fidelity(found(half), found(ROWS), NOBODY_KNOWS)
    assert near.overlap == pytest.approx(0.75)
    assert near.loss is None
    assert not near.passes


def test_cosines_are_those_of_the_embeddings() -> None:
    near = fidelity(found(ROWS, turned=0.1), found(ROWS), NOBODY_KNOWS)
    assert 0.9 < near.min_cosine < near.mean_cosine < 1


def test_the_loss_is_a_share_of_the_references_recall_with_a_paired_interval() -> None:
    relevant = [np.array([0, 1]), np.array([10, 11]), np.empty(0, np.int64), np.array([30, 99])]
    worse = ROWS.copy()
    worse[0, 0] = 77  # of two relevant items one is lost
    loss = fidelity(found(worse), found(ROWS), relevant).loss
    assert loss is not None
    assert loss.cases == 3
    # Recall .5, 1, .5 instead of 1, 1, .5.
    assert loss.share == pytest.approx(0.5 / 2.5)
    spread = np.array([0.5, 0, 0]).std(ddof=1) / np.sqrt(3) / (2.5 / 3)
    assert (loss.low, loss.high) == pytest.approx((loss.share - 1.96 * spread, loss.share + 1.96 * spread))


def test_one_case_has_no_interval() -> None:
    relevant = [np.array([0, 1]), *NOBODY_KNOWS[1:]]
    loss = fidelity(found(ROWS), found(ROWS), relevant).loss
    assert loss == RecallLoss(share=0.0, low=0.0, high=0.0, cases=1)


def test_where_the_reference_finds_nothing_relevant_nothing_can_be_lost() -> None:
    assert fidelity(found(ROWS), found(ROWS), [np.array([99])] * 4).loss is None


@pytest.mark.parametrize(
    ("overlap", "share", "passes"),
    [(0.95, None, True), (0.949, None, False), (0.99, 0.01, True), (0.99, 0.011, False), (0.99, -0.5, True)],
)
def test_the_gate(overlap: float, share: float | None, passes: bool) -> None:
    loss = None if share is None else RecallLoss(share=share, low=-1, high=1, cases=9)
    assert Fidelity(overlap=overlap, mean_cosine=1, min_cosine=1, loss=loss).passes is passes


@pytest.mark.parametrize(
    ("share", "high", "cases", "passes"),
    [
        (0.005, 0.02, 100, True),
        (0.005, 0.021, 100, False),  # enough cases, and they don't exclude a loss that matters
        (0.005, 0.021, 99, True),  # so few cases say little at their worst
        (0.011, 0.012, 1_000, False),  # sure, but too much
        (-0.02, 0.02, 150, True),
    ],
)
def test_the_interval_excludes_a_loss_that_matters(share: float, high: float, cases: int, passes: bool) -> None:
    assert RecallLoss(share=share, low=-1, high=high, cases=cases).passes is passes
