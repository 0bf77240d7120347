"""Gathering what users wrote and consumed, on the past."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from models.training.features import Features
from models.training.split import UserEvents
from models.types import Matrix
from models.user_text_neighbours import UserTextNeighbours, nobody_wrote

_AXES = 64  # 192 are no better on the mean of cutoffs, and take longer to look through
# More users take longer to look through than they add; of a longer history the newest say most.
_MAX_USERS, _MAX_ITEMS = 10_000, 50


def fit_user_text_neighbours(
    events: Sequence[UserEvents], features: Features, projection: Matrix, *, seed: int = 0
) -> UserTextNeighbours:
    """Returns the users who wrote something, of many the newest, or a sample where there are no times.

    Args:
        events: Of all users.
        features: Of their texts.
        projection: Onto the zero-shot part, shape `(text_dim, d₀)`, the axes in falling order of what they keep.
        seed: Of the users drawn.
    """
    axes = projection[:, :_AXES]
    written = [features.rows_of(list(dict.fromkeys(text for text in user.texts if text))) for user in events]
    users = _drawn([place for place, rows in enumerate(written) if rows], events, seed)
    if not len(users):
        return nobody_wrote()
    rows = [written[user] for user in users]
    starts = np.cumsum([0, *map(len, rows)])
    columns = np.concatenate([np.array(own, np.int64) for own in rows])
    sums = csr_matrix((np.ones(len(columns), np.float32), columns, starts), (len(users), len(features.text_vectors)))
    vectors = (sums @ features.text_vectors) @ axes
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    # The newest of each item, in order.
    items = [list(dict.fromkeys(events[user].items[::-1].tolist()))[:_MAX_ITEMS] for user in users]
    item_starts = np.cumsum([0, *map(len, items)]).astype(np.int64)
    return UserTextNeighbours(vectors.astype(np.float32), item_starts, np.concatenate(items).astype(np.int32))


def _drawn(users: Sequence[int], events: Sequence[UserEvents], seed: int) -> Sequence[int]:
    """Returns at most so many of the users, in their order."""
    if len(users) <= _MAX_USERS:
        return users
    times = [events[user].times for user in users]
    order = np.random.default_rng(seed).permutation(len(users))
    if all(time is not None for time in times):
        order = np.argsort([-float(time.max()) for time in times if time is not None], kind="stable")
    return [users[place] for place in np.sort(order[:_MAX_USERS])]
