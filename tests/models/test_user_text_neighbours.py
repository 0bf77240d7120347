"""Users who wrote alike: against a dense oracle, and by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.neighbours import Places
from models.types import Matrix, Rows, Vector
from models.user_text_neighbours import UserTextNeighbours

N_ITEMS = 12


def some(n_users: int, seed: int) -> UserTextNeighbours:
    rng = np.random.default_rng(seed)
    texts = rng.standard_normal((n_users, 4)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    items = [rng.permutation(N_ITEMS)[: rng.integers(0, 6)] for _ in range(n_users)]
    starts = np.cumsum([0, *map(len, items)]).astype(np.int64)
    return UserTextNeighbours(texts, starts, np.concatenate([*items, []]).astype(np.int32))


def oracle(written: UserTextNeighbours, asked: Vector, candidates: Rows) -> Matrix:
    """Every user, every item, every pair."""
    cosines = np.maximum(written.texts @ (asked / np.linalg.norm(asked)), 0)
    by_cosine = np.argsort(-cosines, kind="stable")
    found = np.zeros((2, N_ITEMS + 3), np.float64)
    for view, (power, nearest) in enumerate(((8, 100), (16, 50))):
        weights = {user: float(cosines[user]) ** power for user in by_cosine[:nearest]}
        for user, weight in weights.items():
            own = written.items[written.starts[user] : written.starts[user + 1]]
            found[view, own] += weight / max(sum(weights.values()), 1e-30)
    return found[:, candidates].astype(np.float32)


@given(st.integers(0, 130), st.integers(0, 10_000), st.integers(1, 3), st.sets(st.integers(0, N_ITEMS + 2)))
def test_shares_are_those_of_a_loop_over_everybody(n_users: int, seed: int, n_texts: int, chosen: set[int]) -> None:
    written = some(n_users, seed)
    rng = np.random.default_rng(seed)
    texts = rng.standard_normal((n_texts, 6)).astype(np.float32)  # the zero-shot part has more axes
    candidates = rng.permutation(np.array(sorted(chosen), np.int64))
    found = written.nearest(texts).shares(Places(candidates, N_ITEMS + 3))
    np.testing.assert_allclose(found, oracle(written, texts[:, :4].sum(axis=0), candidates), rtol=1e-3, atol=1e-6)


def test_the_nearest_come_first_and_nobody_who_is_unlike() -> None:
    axes = np.eye(3, dtype=np.float32)
    texts = np.stack([axes[0], -axes[0], axes[1], (axes[0] + axes[1]) / np.sqrt(np.float32(2))])
    alike = UserTextNeighbours(texts, np.zeros(5, np.int64), np.empty(0, np.int32)).nearest(3 * axes[:1])
    assert alike.users.tolist() == [0, 3]
    np.testing.assert_allclose(alike.weights[:, 1] / alike.weights[:, 0], [2.0**-4, 2.0**-8], rtol=1e-5)
    np.testing.assert_allclose(alike.weights.sum(axis=1), 1, rtol=1e-6)


def test_who_wrote_nothing_is_like_nobody() -> None:
    written = some(5, seed=0)
    for texts in (np.empty((0, 6), np.float32), np.zeros((1, 6), np.float32)):
        alike = written.nearest(texts)
        assert len(alike.users) == 0
        assert not alike.shares(Places(np.arange(3), 3)).any()
