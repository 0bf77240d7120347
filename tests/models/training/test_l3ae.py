"""The closed forms against their textbook formulas, and against known answers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from models.training import l3ae
from models.training.l3ae import L3AE, Regularisation, factorise, history_matrix
from models.types import Matrix

N = 9
NO_FEATURES = np.empty((N, 0), np.float32)


def consumed(seed: int, n_users: int = 40) -> csr_matrix:
    return csr_matrix((np.random.default_rng(seed).random((n_users, N)) < 0.3).astype(np.float32))


def features(seed: int) -> Matrix:
    return np.random.default_rng(seed).standard_normal((N, 4)).astype(np.float32)


def dense(model: L3AE) -> Matrix:
    return model.times(np.eye(N, dtype=np.float32))


@given(st.integers(0, 100))
def test_without_a_prior_it_is_steck_s_ease(seed: int) -> None:
    """B = I - P·diag(1/diag(P)), P = (XᵀX + λI)⁻¹."""
    x = consumed(seed)
    inverse = np.linalg.inv((x.T @ x).toarray().astype(np.float64) + 10 * np.eye(N))
    model = L3AE(x, NO_FEATURES, held=Regularisation(ridge=10, prior=0))
    np.testing.assert_allclose(dense(model), np.eye(N) - inverse / np.diag(inverse), atol=1e-4)


@given(st.integers(0, 100), st.sampled_from([5, 40]))
def test_it_minimises_its_loss_with_a_zero_diagonal(seed: int, n_users: int) -> None:
    """Each column solves min |x - Xb|² + λ_X|b|² + λ_E|b - c|² under b_jj = 0; of more items than users, or fewer."""
    x, phi = consumed(seed, n_users), features(seed)
    weights = dense(L3AE(x, phi, held=Regularisation(text=2, ridge=3, prior=5)))
    inverse = np.linalg.inv(phi @ phi.T.astype(np.float64) + 2 * np.eye(N))
    prior = -inverse / np.diag(inverse)
    full = x.toarray().astype(np.float64)
    for column in range(N):
        others = [row for row in range(N) if row != column]
        system = full[:, others].T @ full[:, others] + 8 * np.eye(N - 1)
        right = full[:, others].T @ full[:, column] + 5 * prior[others, column]
        np.testing.assert_allclose(weights[others, column], np.linalg.solve(system, right), atol=1e-3)
        assert abs(weights[column, column]) < 1e-3


@given(st.integers(0, 100))
def test_both_products_are_of_the_same_matrix(seed: int) -> None:
    model = L3AE(consumed(seed), features(seed))
    transposed = model.transposed_times(np.eye(N, dtype=np.float32))
    np.testing.assert_allclose(transposed, dense(model).T, atol=1e-4)


def test_an_item_that_nobody_consumed_has_its_text_s_column() -> None:
    x = consumed(1).toarray()
    x[:, 4] = 0
    weights = dense(L3AE(csr_matrix(x), features(1), held=Regularisation(text=1, ridge=1, prior=50)))
    nobody = csr_matrix((1, N), dtype=np.float32)
    prior = dense(L3AE(nobody, features(1), held=Regularisation(text=1, ridge=1e-3, prior=1000)))
    others = [row for row in range(N) if row != 4]
    assert np.corrcoef(weights[others, 4], prior[others, 4])[0, 1] > 0.9


def test_histories_decay_from_the_newest_and_count_an_item_once() -> None:
    matrix = history_matrix([np.array([1, 2, 1, 0]), np.array([], np.int64)], 4, decay=0.5)
    assert matrix.toarray().tolist() == [[1, 0.5, 0.25, 0], [0, 0, 0, 0]]
    assert history_matrix([np.array([1, 2, 3])], 4, longest=2).toarray().tolist() == [[0, 0, 1, 1]]


def test_a_full_rank_factorisation_is_exact() -> None:
    model = L3AE(consumed(2), features(2))
    left, right = factorise(model, np.arange(N, dtype=np.float32), rank=N)
    np.testing.assert_allclose(left @ right.T, dense(model), atol=1e-4)


def test_a_cut_factorisation_is_the_best_of_its_rank() -> None:
    """Against numpy's SVD of the weighted matrix."""
    model, popularity = L3AE(consumed(3), features(3)), np.arange(N, dtype=np.float32)
    left, right = factorise(model, popularity, rank=3)
    weights = np.sqrt(popularity + 1)[:, None]
    u, s, v = np.linalg.svd(weights * dense(model))
    np.testing.assert_allclose(weights * (left @ right.T), u[:, :3] * s[:3] @ v[:3], atol=1e-3)


def test_many_users_are_sampled(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(l3ae, "MAX_USERS", 20)
    first, second = (dense(L3AE(consumed(4), features(4), seed=5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()
