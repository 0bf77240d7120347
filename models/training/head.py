"""Fitting the feature head: list-wise, on pools that the index's own inner products return.

Loss: cross-entropy of the right answers over the pool. Judged by cross-fitting over the cases, so that no case is
scored by a head that saw it; it ships only where it is better than no head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.fused import FusedMatching
from models.relation_features import N_FEATURES, relation_features
from models.relation_head import HIDDEN, FeatureHead
from models.training.features import Features
from models.training.judge import CUTOFFS, best_rows
from models.training.part_scores import known_user
from models.training.split import Case
from models.types import JsonValue, Mask, Matrix, Rows, Vector

_POOL = 300
_EPOCHS = 15
_RATE = 5e-3
_BATCH = 64
_FOLDS = 4
_LEAST_POOLS = 200
"""Cases of users with a right answer in the pool; with fewer nothing is fitted: queries alone say too little."""
_BLOCK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """What the head is fitted on: the best items of each case by recall score.

    Attributes:
        features: Shape `(n_cases, pool, N_FEATURES)`.
        right: Which are right answers, shape `(n_cases, pool)`.
        n_relevant: Right answers of each case, found or not, shape `(n_cases,)`.
        is_query: Which cases are a few words that ask for one item, shape `(n_cases,)`.
    """

    features: np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
    right: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    n_relevant: Rows
    is_query: Mask


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
    for start in range(0, len(cases), _BLOCK):
        block = cases[start : start + _BLOCK]
        asked = [matching.ask(known_user(case, features, words)) for case in block]
        vectors = np.array([np.zeros(items.shape[1]) if user is None else user.vector for user in asked], np.float32)
        scores = vectors @ items.T
        for row, case in zip(scores, block, strict=True):
            row[case.history] = -np.inf
        ranked = best_rows(scores, size)
        for place, (case, user) in enumerate(zip(block, asked, strict=True)):
            rows = ranked[place]
            if user is None:
                continue
            found[start + place] = relation_features(user, items, rows=rows, scores=scores[place, rows])
            right[start + place] = np.isin(rows, case.targets) & np.isfinite(scores[place, rows])
    is_query = np.array([case.user < 0 for case in cases])
    return Pools(np.nan_to_num(found, neginf=0), right, np.array([len(case.targets) for case in cases]), is_query)


def fit_head(pools: Pools, *, seed: int = 0) -> tuple[FeatureHead | None, dict[str, JsonValue]]:
    """Returns a head fitted on all pools, None where it isn't better than none, and what cross-fitting measured.

    Args:
        pools: Of validation cases.
        seed: Of start, folds and batches.
    """
    usable = np.flatnonzero(pools.right.any(axis=1))
    before = _recalls(pools, pools.features[:, :, 0])
    of_users = ~pools.is_query
    found = np.minimum(pools.right.sum(axis=1) / pools.n_relevant, 1)
    figures: dict[str, JsonValue] = {
        "cases": int(of_users.sum()),
        "ceiling": round(float(found[of_users].mean()), 4),
        "before": _means(before, of_users),
    }
    if (n_of_users := int(of_users[usable].sum())) < _LEAST_POOLS:
        return None, figures | {"shipped": False, "why": f"{n_of_users} pools of users hold a right answer"}
    fold = np.random.default_rng(seed).permutation(len(pools.right)) % _FOLDS
    scores = np.zeros(pools.right.shape, np.float32)
    for number in range(_FOLDS):
        head = _fit(pools, usable[fold[usable] != number], seed)
        judged = fold == number
        scores[judged] = head.score(pools.features[judged].reshape(-1, N_FEATURES)).reshape(-1, scores.shape[1])
    after = _recalls(pools, scores)
    figures["after"] = _means(after, of_users)
    if pools.is_query.any():
        figures["queries_before"] = _means(before, pools.is_query)
        figures["queries_after"] = _means(after, pools.is_query)
    gain = np.mean([(after[k] - before[k])[of_users].mean() for k in CUTOFFS])
    no_worse = all(_no_worse(before, after, group) for group in (of_users, pools.is_query) if group.any())
    better = bool(gain > 0 and no_worse)
    figures["shipped"] = better
    return (_fit(pools, usable, seed) if better else None), figures


def _means(recalls: dict[int, Matrix], group: Mask) -> dict[str, JsonValue]:
    return {f"recall@{k}": round(float(values[group].mean()), 4) for k, values in recalls.items()}


def _no_worse(before: dict[int, Matrix], after: dict[int, Matrix], group: Mask) -> bool:
    """Returns whether a group of cases lost nothing beyond chance: not on the mean over cutoffs, and at none of them.

    Of eight comparisons one is often a standard error below zero by chance, so there two errors count as a loss; on the
    mean one does.
    """
    gains = [(after[k] - before[k])[group] for k in CUTOFFS]
    return not any(_lost(gain, 2) for gain in gains) and not _lost(np.mean(gains, axis=0), 1)


def _lost(gain: Vector, errors: int) -> bool:
    return bool(gain.mean() < -errors * gain.std() / np.sqrt(len(gain)))


def _recalls(pools: Pools, scores: Matrix) -> dict[int, Matrix]:
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(pools.right, order, axis=1)
    return {k: ranked[:, :k].sum(axis=1) / np.minimum(k, pools.n_relevant) for k in CUTOFFS}


class _Network(nn.Module):
    """The feature head in torch; its last layer starts at 0 and its linear part at the recall score."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.middle = nn.Linear(N_FEATURES, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.outer = nn.Linear(HIDDEN, 1, bias=False)
        nn.init.zeros_(self.outer.weight)
        start = torch.zeros(N_FEATURES)
        start[0] = 1.0
        self.linear = nn.Parameter(start)

    def forward(self, features: Tensor) -> Tensor:
        """Returns the score of each candidate."""
        hidden = F.relu(self.middle(F.relu(self.inner(features))))
        scores: Tensor = features @ self.linear + self.outer(hidden)[..., 0]
        return scores


def _fit(pools: Pools, rows: Rows, seed: int) -> FeatureHead:
    features, right = pools.features[rows], pools.right[rows]
    mean, deviation = features.mean(axis=(0, 1)), features.std(axis=(0, 1))
    deviation = np.where(deviation > 1e-6, deviation, 1).astype(np.float32)
    known = torch.from_numpy((features - mean) / deviation)
    wanted = torch.from_numpy(right / right.sum(axis=1, keepdims=True)).float()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _Network()
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-2)
    steps = _EPOCHS * -(-len(rows) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_RATE, total_steps=steps + 1)
    for _ in range(_EPOCHS):
        for batch in torch.split(torch.randperm(len(rows), generator=generator), _BATCH):
            optimiser.zero_grad()
            loss = -(wanted[batch] * F.log_softmax(network(known[batch]), dim=-1)).sum(dim=-1).mean()
            loss.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped
            optimiser.step()
            schedule.step()
    tensors = {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}
    tensors["outer.weight"] = tensors["outer.weight"][0]
    return FeatureHead(tensors | {"mean": mean.astype(np.float32), "deviation": deviation})
