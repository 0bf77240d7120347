"""Neighbours: a look-up that equals the dense matrix that it keeps the largest of."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from models.neighbours import Neighbours, Places
from models.training.neighbours import fit_neighbours

CONSUMED = csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0]], np.float32))


def test_cosines_worked_by_hand() -> None:
    """Items 0 and 1 share both of their users; item 2 shares one of its two; item 3 has none."""
    found = fit_neighbours(CONSUMED).between(np.arange(4), Places(np.arange(4), 4))
    expected = np.array([[0, 1, 0.5, 0], [1, 0, 0.5, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(st.integers(0, 10_000), st.lists(st.integers(0, 14), max_size=6), st.sets(st.integers(0, 14), max_size=15))
def test_any_pairs_are_looked_up(seed: int, items: list[int], candidates: set[int]) -> None:
    rng = np.random.default_rng(seed)
    dense = np.zeros((10, 15), np.float32)  # five rows of the fifteen came after the fit
    near = np.array([rng.permutation(15)[:4] for _ in range(10)], np.int32)
    cosines = rng.random((10, 4), np.float32)
    near[rng.random((10, 4)) < 0.3] = -1
    for row in range(10):
        for column, cosine in zip(near[row], cosines[row], strict=True):
            if column >= 0:
                dense[row, column] = cosine
    dense = np.vstack([dense, np.zeros((5, 15), np.float32)])
    asked, among = np.array(items, np.int64), np.array(rng.permutation(sorted(candidates)), np.int64)
    found = Neighbours(near, cosines).between(asked, Places(among, 15))
    np.testing.assert_array_equal(found, dense[asked][:, among])
