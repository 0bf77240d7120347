"""Fitting who is consumed together, on the past."""

import numpy as np
from scipy.sparse import csr_matrix

from models.neighbours import Neighbours

_NEAREST = 64
# Pairs grow with the square of a history, so of more users a seeded sample is counted.
_MAX_USERS = 100_000


def fit_neighbours(consumed: csr_matrix, *, seed: int = 0) -> Neighbours:
    """Returns the nearest others of each item.

    Args:
        consumed: 1 where a user consumed an item, shape `(n_users, n_items)`.
        seed: Of the users drawn.
    """
    n_users, n_items = consumed.shape
    if n_users > _MAX_USERS:
        drawn = np.random.default_rng(seed).choice(n_users, _MAX_USERS, replace=False)
        consumed = consumed[np.sort(drawn)]
    together = (consumed.T @ consumed).tocsr()
    root = np.sqrt(np.maximum(together.diagonal(), 1))
    width = min(_NEAREST, max(n_items - 1, 1))
    rows, cosines = np.full((n_items, width), -1, np.int32), np.zeros((n_items, width), np.float32)
    for item in range(n_items):
        span = slice(together.indptr[item], together.indptr[item + 1])
        others = together.indices[span]
        found = np.where(others == item, 0, together.data[span] / (root[item] * root[others]))
        best = np.argsort(-found, kind="stable")[:width]
        best = best[found[best] > 0]
        rows[item, : len(best)], cosines[item, : len(best)] = others[best], found[best]
    return Neighbours(rows, cosines)
