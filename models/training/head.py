"""Fitting the feature head: list-wise, on pools that the index's own inner products return.

Loss: cross-entropy of the right answers over the pool. Judged by cross-fitting over the cases, so that no case is
scored by a head that saw it; it acts only in situations in which it is better than no head. The head that ships learns
from these scores, too: they say how likely each candidate is, of pools without a right answer as well (distillation,
Hinton et al. 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from models.fused import SITUATIONS, FusedMatching, Situation
from models.relation_features import N_FEATURES, relation_features
from models.relation_head import FeatureHead
from models.training.features import Features
from models.training.gains import is_gain, is_loss
from models.training.head_network import HeadFit, HeadNetwork, PoolFeatures
from models.training.judge import CUTOFFS, best_rows
from models.training.metrics import PerUser
from models.training.part_scores import known_users, tokens_of
from models.training.side_by_side import side_by_side
from models.training.situations import ENOUGH
from models.training.split import Case
from models.types import JsonValue, Mask, Matrix, Rows

_POOL = 300
_FOLDS = 4
_DRAWS = 3
"""How often a head is cross-fitted: by one draw of folds and starts, a head that is worth nothing acts now and then."""
_LEAST_POOLS = 200
"""Cases of users with a right answer in the pool; with fewer nothing is fitted: queries alone say too little."""
_BLOCK = 256
_TAUGHT = 0.4  # of what is wanted of the head that ships; the rest are right answers


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """What the head is fitted on: the best items of each case by recall score.

    Attributes:
        features: Shape `(n_cases, pool, N_FEATURES)`.
        right: Which are right answers, shape `(n_cases, pool)`.
        n_relevant: Right answers of each case, found or not, shape `(n_cases,)`.
        situations: How each case's user is known, shape `(n_cases,)`; empty where nothing is.
        of_users: Which cases are users, not a few words that ask for their item, shape `(n_cases,)`.
    """

    features: PoolFeatures
    right: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    n_relevant: Rows
    situations: NDArray[np.str_]
    of_users: Mask


def make_pools(
    matching: FusedMatching, items: Matrix, words: Matrix, cases: Sequence[Case], features: Features
) -> Pools:
    """Returns the pools of cases.

    Args:
        matching: Fitted on what was before the cases.
        items: Item vectors, shape `(n_items, D)`.
        words: What each term adds to the tower's vectors, shape `(n_terms, tower_dim)`.
        cases: To ask.
        features: Of their texts.
    """
    size = min(_POOL, len(items))
    found = np.zeros((len(cases), size, N_FEATURES), np.float32)
    right = np.zeros((len(cases), size), np.bool_)
    situations = np.zeros(len(cases), f"U{max(map(len, SITUATIONS))}")
    for start in range(0, len(cases), _BLOCK):
        block = cases[start : start + _BLOCK]
        users = known_users(block, features, words)
        asked = [matching.asked(tokens) for tokens in tokens_of(matching.side, users)]
        vectors = np.array([np.zeros(items.shape[1]) if user is None else user.vector for user in asked], np.float32)
        scores = vectors @ items.T
        for row, case in zip(scores, block, strict=True):
            row[case.history] = -np.inf
        ranked = best_rows(scores, size)
        for place, (case, user) in enumerate(zip(block, asked, strict=True)):
            rows = ranked[place]
            if user is None:
                continue
            situations[start + place] = user.situation
            found[start + place] = relation_features(user, items, rows=rows, scores=scores[place, rows])
            right[start + place] = np.isin(rows, case.targets) & np.isfinite(scores[place, rows])
    n_relevant = np.array([len(case.targets) for case in cases], np.int64)
    of_users = np.array([case.user >= 0 for case in cases], np.bool_)
    return Pools(np.nan_to_num(found, neginf=0), right, n_relevant, situations, of_users)


def joined(pools: Sequence[Pools]) -> Pools:
    """Returns several cases' pools as one."""
    each = [[getattr(one, part.name) for one in pools] for part in fields(Pools)]
    return Pools(*map(np.concatenate, each))


def fit_head(pools: Pools, *, seed: int = 0) -> tuple[FeatureHead | None, dict[str, JsonValue]]:
    """Returns a head fitted on all pools, None where it is nowhere better than none, and what cross-fitting measured.

    Args:
        pools: Of validation cases.
        seed: Of start, folds and batches.
    """
    before = recalls(pools, pools.features[:, :, 0])
    of_users = pools.of_users
    found = np.minimum(pools.right.sum(axis=1) / pools.n_relevant, 1)
    figures: dict[str, JsonValue] = {
        "cases": int(of_users.sum()),
        "ceiling": round(float(found[of_users].mean()), 4),
        "before": _means(before, of_users),
    }
    if (n_of_users := int((of_users & pools.right.any(axis=1)).sum())) < _LEAST_POOLS:
        return None, figures | {"shipped": False, "why": f"{n_of_users} pools of users hold a right answer"}
    draws = cross_fitted(pools, seed=seed)
    found_by = [recalls(pools, scores) for scores in draws]
    after = {k: np.mean([found[k] for found in found_by], axis=0) for k in CUTOFFS}
    judges = groups(pools)
    better = {name: _better(before, after, group) for name, group in judges.items()}
    # Where nothing is measured it acts if it does wherever something is.
    acting = tuple(name for name in SITUATIONS if better.get(name, all(better.values())))
    figures["after"] = _means(after, of_users)
    figures["situations"] = {
        name: {
            "cases": int(group.sum()),
            "before": _means(before, group),
            "after": _means(after, group),
            "acts": better[name],
        }
        for name, group in judges.items()
    }
    figures["shipped"] = any(better.values())
    if not any(better.values()):
        return None, figures
    head = taught(pools, np.mean(draws, axis=0), seed=seed)
    return replace(head, situations=acting), figures


def groups(pools: Pools) -> dict[Situation, Mask]:
    """Returns by which cases each situation is judged; none with too few to say anything.

    As with the weights, users speak alone where there are enough of them.
    """
    found: dict[Situation, Mask] = {}
    for name in SITUATIONS:
        group = pools.situations == name
        users = group & pools.of_users
        judges = users if users.sum() >= ENOUGH else group
        if judges.sum() >= ENOUGH:
            found[name] = judges
    return found


def cross_fitted(pools: Pools, *, seed: int) -> list[Matrix]:
    """Returns the scores of each pool by heads that didn't see it, shape `(n_cases, pool)`, by several draws.

    They learn from right answers alone.

    Args:
        pools: Some of them with a right answer.
        seed: Of starts, folds and batches.
    """
    usable = np.flatnonzero(pools.right.any(axis=1))
    fits = HeadFit(pools.features[usable], right_shares(pools.right[usable]))
    return [_drawn(pools, usable, fits, seed + draw) for draw in range(_DRAWS)]


def _drawn(pools: Pools, usable: Rows, fits: HeadFit, seed: int) -> Matrix:
    fold = np.random.default_rng(seed).permutation(len(pools.right)) % _FOLDS
    others = [np.flatnonzero(fold[usable] != number) for number in range(_FOLDS)]
    starts = [HeadNetwork(seed) for _ in others]  # before the workers: torch draws them from a state that all share
    scores = np.zeros(pools.right.shape, np.float32)
    with side_by_side(min(_FOLDS, torch.get_num_threads()), 1) as workers:
        heads = workers.map(partial(fits.fit, seed=seed), others, starts)
        for number, head in enumerate(heads):
            judged = fold == number
            scores[judged] = head.score(pools.features[judged].reshape(-1, N_FEATURES)).reshape(-1, scores.shape[1])
    return scores


def taught(pools: Pools, scores: Matrix, *, seed: int) -> FeatureHead:
    """Returns a head fitted on all pools, by right answers and by scores of heads that didn't see them.

    Args:
        pools: Some of them with a right answer.
        scores: Of the candidates, shape `(n_cases, pool)`.
        seed: Of start and batches.
    """
    wanted: Matrix = softmax(scores, axis=1)
    found = pools.right.any(axis=1)
    wanted[found] += (1 - _TAUGHT) * (right_shares(pools.right[found]) - wanted[found])
    asked = np.flatnonzero(pools.situations != "")
    return HeadFit(pools.features[asked], wanted[asked]).fit(np.arange(len(asked)), HeadNetwork(seed), seed=seed)


def right_shares(right: NDArray[np.bool_]) -> Matrix:
    """Returns what share of the right answers each candidate is, shape `(n_pools, pool)`."""
    shares: Matrix = (right / right.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _means(recalls: dict[int, PerUser], group: Mask) -> dict[str, JsonValue]:
    return {f"recall@{k}": round(float(values[group].mean()), 4) for k, values in recalls.items()}


def _better(before: dict[int, PerUser], after: dict[int, PerUser], group: Mask) -> bool:
    """Returns whether a group of cases gained on the mean over cutoffs, and lost at none of them, beyond chance.

    Of four comparisons one is easily a standard error below zero by chance, so two errors count as a loss.
    """
    gains = [(after[k] - before[k])[group] for k in CUTOFFS]
    return is_gain(np.mean(gains, axis=0)) and not any(is_loss(gain, 2) for gain in gains)


def recalls(pools: Pools, scores: Matrix) -> dict[int, PerUser]:
    """Returns recall of each case at each cutoff, its pool ordered by scores of shape `(n_cases, pool)`."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(pools.right, order, axis=1)
    return {k: ranked[:, :k].sum(axis=1) / np.minimum(k, pools.n_relevant) for k in CUTOFFS}
