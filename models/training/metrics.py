"""What a ranking is worth: per-user accuracy and whole-list properties. Pure numpy.

Accuracy functions take `hits` (n_users, K), which is True where the ranked item is relevant, and `n_relevant`
(n_users,); they return one value a user in [0, 1], so that two systems can be compared pair by pair. Bigger is
better in all of them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.types import Matrix, Rows, Vector

Hits = NDArray[np.bool_]
PerUser = NDArray[np.float64]


def hits_of(ranked: Rows, relevant: Sequence[Rows]) -> Hits:
    """Returns where ranked items are relevant, shape `(n_users, K)`.

    Args:
        ranked: Rows in order, best first, shape `(n_users, K)`; -1 fills lists that are shorter.
        relevant: The relevant rows of each user.
    """
    return np.stack([np.isin(row, wanted) for row, wanted in zip(ranked, relevant, strict=True)])


def recall_at(hits: Hits, n_relevant: Rows, k: int) -> PerUser:
    """Returns |found| / min(k, |relevant|); with one relevant item this is the hit rate."""
    found: PerUser = hits[:, :k].sum(axis=1) / np.minimum(k, n_relevant)
    return found


def precision_at(hits: Hits, k: int) -> PerUser:
    """Returns |found| / k."""
    found: PerUser = hits[:, :k].sum(axis=1) / k
    return found


def ndcg_at(hits: Hits, n_relevant: Rows, k: int) -> PerUser:
    """Returns DCG / ideal DCG with binary gains, DCG = Σ hitᵣ / log₂(r + 1) over the ranks r = 1 … k."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(k, n_relevant) - 1]
    found = hits[:, :k]
    gained: PerUser = (found @ discounts[: found.shape[1]]) / ideal
    return gained


def mrr_at(hits: Hits, k: int) -> PerUser:
    """Returns 1 / rank of the first relevant item, 0 where there is none among the first k."""
    found = hits[:, :k]
    return np.where(found.any(axis=1), 1 / (found.argmax(axis=1) + 1), 0.0)


def coverage_at(ranked: Rows, k: int, *, n_items: int) -> float:
    """Returns the share of the catalogue that is in at least one list, in [0, 1]."""
    shown = np.unique(ranked[:, :k])
    return float((shown >= 0).sum() / n_items)


def novelty_at(ranked: Rows, k: int, *, popularity: Vector) -> float:
    """Returns the mean self-information of what is shown, in bits: -log₂((users + 1) / (all users + items)); ≥ 0.

    Bigger means rarer items (Zhou et al. 2010, with add-one smoothing so that new items count).
    """
    share = (popularity + 1) / (popularity.sum() + len(popularity))
    shown = ranked[:, :k]
    return float(-np.log2(share[shown[shown >= 0]]).mean())


def popularity_bias_at(ranked: Rows, k: int, *, popularity: Vector) -> float:
    """Returns the mean popularity percentile of what is shown, in [0, 1]: .5 is the catalogue's middle, 1 only hits."""
    order = popularity.argsort(kind="stable")
    percentile = np.empty(len(popularity))
    percentile[order] = np.arange(len(popularity)) / max(len(popularity) - 1, 1)
    # Items that are equally popular share a percentile.
    _, group = np.unique(popularity, return_inverse=True)
    percentile = (np.bincount(group, percentile) / np.bincount(group))[group]
    shown = ranked[:, :k]
    return float(percentile[shown[shown >= 0]].mean())


def diversity_at(ranked: Rows, k: int, *, embeddings: Matrix) -> float:
    """Returns the intra-list diversity: 1 - mean cosine of the pairs of a list, averaged over the lists; in [0, 2].

    Args:
        ranked: Shape `(n_users, K)`; lists of fewer than two items don't count.
        k: Length of the lists.
        embeddings: Unit rows, shape `(n_items, dim)`.
    """
    values = []
    for row in ranked[:, :k]:
        shown = row[row >= 0]
        if len(shown) > 1:
            # Σ over pairs of xᵢ·xⱼ = (|Σxᵢ|² - n) / 2 for unit rows.
            total = embeddings[shown].sum(axis=0, dtype=np.float64)
            pairs = len(shown) * (len(shown) - 1)
            values.append(1 - (total @ total - len(shown)) / pairs)
    return float(np.mean(values)) if values else 0.0


def paired_interval(ours: PerUser, theirs: PerUser, *, seed: int = 0, draws: int = 2_000) -> tuple[float, float, float]:
    """Returns the mean difference ours - theirs and its 95 % interval by paired bootstrap over users.

    Args:
        ours: One value a user.
        theirs: The same users, in the same order.
        seed: Of the draws.
        draws: How many resamples.
    """
    difference = ours - theirs
    rng = np.random.default_rng(seed)
    n = len(difference)
    means = np.array([difference[rng.integers(0, n, n)].mean() for _ in range(draws)])
    low, high = np.quantile(means, (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)


def paired_ratio(
    ours: PerUser, theirs: PerUser, *, seed: int = 0, draws: int = 2_000
) -> tuple[float, float, float] | None:
    """Returns mean(ours) / mean(theirs) and its 95 % interval by paired bootstrap; None where theirs can be 0.

    Args:
        ours: One value a user.
        theirs: The same users, in the same order.
        seed: Of the draws.
        draws: How many resamples.
    """
    rng = np.random.default_rng(seed)
    n = len(ours)
    drawn = [rng.integers(0, n, n) for _ in range(draws)]
    below = np.array([theirs[rows].mean() for rows in drawn])
    if not below.all():
        return None
    low, high = np.quantile(np.array([ours[rows].mean() for rows in drawn]) / below, (0.025, 0.975))
    return float(ours.mean() / theirs.mean()), float(low), float(high)
