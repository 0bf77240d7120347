"""The closed forms against their textbook formulas, and against known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from models.training.l3ae import factorise, fit_l3ae, history_matrix, text_kernel


def consumed(seed: int, n_users: int = 40, n_items: int = 9) -> csr_matrix:
    return csr_matrix((np.random.default_rng(seed).random((n_users, n_items)) < 0.3).astype(np.float32))


def kernel(seed: int, n_items: int = 9) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n_items, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return text_kernel(vectors, None)


@given(st.integers(0, 100))
def test_ease_is_steck_s_formula(seed: int) -> None:
    """B = I - P·diag(1/diag(P)), P = (XᵀX + λI)⁻¹."""
    x = consumed(seed)
    inverse = np.linalg.inv((x.T @ x).toarray().astype(np.float64) + 10 * np.eye(9))
    expected = np.eye(9) - inverse / np.diag(inverse)
    np.testing.assert_allclose(fit_l3ae(x, None, reg_ridge=10), expected, atol=1e-5)


@given(st.integers(0, 100))
def test_l3ae_minimises_its_loss_with_a_zero_diagonal(seed: int) -> None:
    """Each column solves min |x - Xb|² + λ_X|b|² + λ_E|b - c|² under b_jj = 0."""
    x, gram = consumed(seed), kernel(seed)
    weights = fit_l3ae(x, gram.copy(), reg_text=2, reg_ridge=3, reg_prior=5)
    inverse = np.linalg.inv(gram.astype(np.float64) + 2 * np.eye(9))
    prior = -inverse / np.diag(inverse)
    np.fill_diagonal(prior, 0)
    dense = x.toarray().astype(np.float64)
    for column in range(9):
        others = [row for row in range(9) if row != column]
        system = dense[:, others].T @ dense[:, others] + 8 * np.eye(8)
        right = dense[:, others].T @ dense[:, column] + 5 * prior[others, column]
        np.testing.assert_allclose(weights[others, column], np.linalg.solve(system, right), atol=1e-4)
        assert weights[column, column] == 0


def test_an_item_that_nobody_consumed_has_its_text_s_column() -> None:
    x = consumed(1).toarray()
    x[:, 4] = 0
    weights = fit_l3ae(csr_matrix(x), kernel(1), reg_text=1, reg_ridge=1, reg_prior=50)
    prior = fit_l3ae(csr_matrix((1, 9), dtype=np.float32), kernel(1), reg_text=1, reg_ridge=1e-3, reg_prior=1000)
    others = [row for row in range(9) if row != 4]
    assert np.corrcoef(weights[others, 4], prior[others, 4])[0, 1] > 0.9


def test_histories_decay_from_the_newest_and_count_an_item_once() -> None:
    matrix = history_matrix([np.array([1, 2, 1, 0]), np.array([], np.int64)], 4, decay=0.5)
    assert matrix.toarray().tolist() == [[1, 0.5, 0.25, 0], [0, 0, 0, 0]]
    assert history_matrix([np.array([1, 2, 3])], 4, longest=2).toarray().tolist() == [[0, 0, 1, 1]]


def test_a_full_rank_factorisation_is_exact() -> None:
    weights = fit_l3ae(consumed(2), kernel(2))
    left, right = factorise(weights, np.arange(9, dtype=np.float32), rank=8)
    assert left.shape == right.shape == (9, 8)
    np.testing.assert_allclose(left @ right.T, weights, atol=0.02)


def test_the_kernel_mixes_meaning_and_words() -> None:
    vectors = np.eye(2, dtype=np.float32)
    tfidf = csr_matrix(np.array([[1, 0], [0.6, 0.8]], np.float32))
    mixed = text_kernel(vectors, tfidf, width=0.5, lexical_share=0.25)
    expected = 0.75 * np.exp(np.array([[0, -2], [-2, 0]])) + 0.25 * np.array([[1, 0.6], [0.6, 1]])
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
    assert np.linalg.eigvalsh(mixed).min() > 0


def test_an_indefinite_matrix_is_an_error_that_says_so() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="raise the regularisation"):
        fit_l3ae(consumed(3), -np.eye(9, dtype=np.float32), reg_text=0.5)
