"""Metrics against tables worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training import metrics

# Two users, five ranked items each.
RANKED = np.array([[3, 1, 4, 0, 2], [2, 0, 1, -1, -1]])
RELEVANT = [np.array([1, 2]), np.array([4])]
HITS = np.array([[False, True, False, False, True], [False, False, False, False, False]])
N_RELEVANT = np.array([2, 1])


def test_hits() -> None:
    np.testing.assert_array_equal(metrics.hits_of(RANKED, RELEVANT), HITS)


def test_recall_divides_by_what_could_be_found() -> None:
    np.testing.assert_allclose(metrics.recall_at(HITS, N_RELEVANT, 1), [0 / 1, 0])
    np.testing.assert_allclose(metrics.recall_at(HITS, N_RELEVANT, 2), [1 / 2, 0])
    np.testing.assert_allclose(metrics.recall_at(HITS, N_RELEVANT, 5), [2 / 2, 0])


def test_precision() -> None:
    np.testing.assert_allclose(metrics.precision_at(HITS, 5), [2 / 5, 0])


def test_ndcg() -> None:
    """Hits at ranks 2 and 5; the ideal has them at 1 and 2."""
    dcg = 1 / np.log2(3) + 1 / np.log2(6)
    ideal = 1 / np.log2(2) + 1 / np.log2(3)
    np.testing.assert_allclose(metrics.ndcg_at(HITS, N_RELEVANT, 5), [dcg / ideal, 0])


def test_mrr() -> None:
    np.testing.assert_allclose(metrics.mrr_at(HITS, 5), [1 / 2, 0])
    np.testing.assert_allclose(metrics.mrr_at(HITS, 1), [0, 0])


def test_coverage_ignores_padding() -> None:
    assert metrics.coverage_at(RANKED, 1, n_items=5) == 2 / 5
    assert metrics.coverage_at(RANKED, 5, n_items=10) == 5 / 10


def test_novelty_of_items_with_known_popularity() -> None:
    """Popularities 3, 1, 0 among 4 + 3: shares 4/7, 2/7, 1/7."""
    popularity = np.array([3, 1, 0], np.float32)
    value = metrics.novelty_at(np.array([[2, 0]]), 2, popularity=popularity)
    assert value == pytest.approx((np.log2(7) + np.log2(7 / 4)) / 2)


def test_popularity_bias_shares_percentiles_among_equals() -> None:
    popularity = np.array([5, 0, 0], np.float32)
    assert metrics.popularity_bias_at(np.array([[0]]), 1, popularity=popularity) == 1
    assert metrics.popularity_bias_at(np.array([[1]]), 1, popularity=popularity) == pytest.approx(0.25)


def test_diversity_is_one_minus_the_mean_cosine_of_pairs() -> None:
    """Three unit vectors: pairs have cosines 1, 0, 0."""
    embeddings = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert metrics.diversity_at(np.array([[0, 1, 2]]), 3, embeddings=embeddings) == pytest.approx(1 - 1 / 3)
    assert metrics.diversity_at(np.array([[0, 1, -1]]), 3, embeddings=embeddings) == pytest.approx(0)


@given(st.integers(1, 6), st.integers(1, 20), st.randoms(use_true_random=False))
def test_perfect_ranking_is_one_and_recall_grows_with_k(n_relevant: int, n_other: int, random: object) -> None:
    hits = np.array([[True] * n_relevant + [False] * n_other])
    n = np.array([n_relevant])
    for k in range(1, n_relevant + n_other + 1):
        assert metrics.recall_at(hits, n, k) == 1
        assert metrics.ndcg_at(hits, n, k) == pytest.approx(1)
    shuffled = hits.copy()
    random.shuffle(shuffled[0])  # type: ignore[attr-defined]
    found = [metrics.recall_at(shuffled, n, k)[0] * min(k, n_relevant) for k in range(1, hits.shape[1] + 1)]
    assert found == sorted(found)
    assert found[-1] == n_relevant


def test_paired_interval_of_a_constant_difference() -> None:
    ours, theirs = np.array([0.5, 0.7, 0.9]), np.array([0.4, 0.6, 0.8])
    assert metrics.paired_interval(ours, theirs) == pytest.approx((0.1, 0.1, 0.1))


def test_paired_interval_of_noise_holds_zero() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.random(400), rng.random(400)
    _, low, high = metrics.paired_interval(ours, theirs)
    assert low < 0 < high


def test_paired_ratio_of_a_constant_factor() -> None:
    theirs = np.array([0.4, 0.6, 0.8])
    assert metrics.paired_ratio(1.5 * theirs, theirs) == pytest.approx((1.5, 1.5, 1.5))


def test_paired_ratio_of_noise_holds_one() -> None:
    rng = np.random.default_rng(1)
    found = metrics.paired_ratio(rng.random(400), rng.random(400))
    assert found is not None
    assert found[1] < 1 < found[2]


def test_there_is_no_ratio_to_what_may_be_nothing() -> None:
    assert metrics.paired_ratio(np.array([1.0, 0]), np.array([1.0, 0])) is None
