"""What the relation head's loss is worth, and what it is worth to the head that ships to be taught by others."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from itertools import chain
from types import SimpleNamespace

import numpy as np
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ablation_world import World
from benchmarks.head_losses import binary_cross_entropy, pairwise
from benchmarks.one_change import difference, patched
from models.errors import DataError
from models.relation_features import N_FEATURES
from models.relation_head import FeatureHead
from models.training import head as head_module
from models.training import head_network as network_module
from models.training.head import Pools, cross_fitted, groups, recalls, right_shares, taught
from models.training.head_network import HeadFit, HeadNetwork
from models.training.judge import CUTOFFS
from models.training.metrics import PerUser
from models.training.part_scores import FittedParts
from models.training.situations import queries_of
from models.training.unseen_pools import unseen_pools
from models.training.weigh import weigh
from models.types import JsonValue, Mask, Matrix

_FOLDS = 4
_SEEDS = 3  # of a head; another moves recall@10 by as much as is to be told


def head_pools(world: World, parts: FittedParts) -> Pools:
    """Returns the pools that a build would fit a head on, of all tasks, in the order of weights that others chose."""
    features = world.features()
    weighed = weigh(parts, world.by_task, features, world.decay)
    asked = [*chain.from_iterable(world.for_head.values()), *queries_of(features)]
    return unseen_pools(parts, weighed, asked, features, world.decay)


def loss_rows(pools: Pools) -> Iterator[tuple[str, ...]]:
    """Yields a row for each loss of the head and situation: recall before and after, cross-fitted.

    Raises:
        DataError: There are too few pools to fit a head.
    """
    yield ("head", *(f"recall@{k}" for k in CUTOFFS), "acts")
    losses: dict[str, Callable[..., Tensor]] = {
        "list-wise softmax, by right answers alone": functional.log_softmax,
        "pairwise": pairwise,
        "binary cross-entropy": binary_cross_entropy,
    }
    for number, (name, loss) in enumerate(losses.items()):
        functions = SimpleNamespace(relu=functional.relu, log_softmax=loss)
        with patched(((network_module, "F", functions), (network_module, "LIBRARY", None))):
            _, figures = head_module.fit_head(pools)
        if "situations" not in figures:
            raise DataError(f"nothing can be said of heads: {figures['why']}, which is too few to fit one")
        for situation, found in _mapping(figures["situations"]).items():
            measured = _mapping(found)
            if not number:
                yield (f"{situation}: no head", *_recalls(measured["before"]), "")
            yield (f"{situation}: {name}", *_recalls(measured["after"]), str(measured["acts"]))


def taught_rows(pools: Pools) -> Iterator[tuple[str, ...]]:
    """Yields the head that ships beside one by right answers alone, on pools that nothing of either has seen.

    What a build measures is out of fold, too, but of heads by right answers alone: the one that ships has learnt from
    the scores of all of them, so another fold around everything judges it. Recalls are means over several starts.
    """
    yield ("the head that ships", *(f"recall@{k}" for k in CUTOFFS), "mean over cutoffs", "recall@10")
    by_answers, as_shipped = _in_outer_folds(pools)
    for situation, judges in groups(pools).items():
        alone, others = ({k: found[judges] for k, found in kind.items()} for kind in (by_answers, as_shipped))
        yield (f"{situation}: by right answers alone", *_means(alone), "", "")
        gained = (difference(_mean(others), _mean(alone)), difference(others[10], alone[10]))
        yield (f"{situation}: taught by others, too: as shipped", *_means(others), *gained)


def _in_outer_folds(pools: Pools) -> tuple[dict[int, PerUser], dict[int, PerUser]]:
    """Returns recall of each case, by a head by right answers alone and by one that is taught; neither has seen it."""
    fold = np.random.default_rng(0).permutation(len(pools.right)) % _FOLDS
    scores = np.zeros((2, _SEEDS, *pools.right.shape), np.float32)
    for number in range(_FOLDS):
        others, judged = _some(pools, fold != number), _some(pools, fold == number)
        known = np.mean(cross_fitted(others, seed=0), axis=0)
        for seed in range(_SEEDS):
            heads = _by_right_answers(others, seed), taught(others, known, seed=seed)
            for place, head in enumerate(heads):
                scores[place, seed, fold == number] = _scores(head, judged)
    return _by_seeds(pools, scores[0]), _by_seeds(pools, scores[1])


def _by_seeds(pools: Pools, scores: NDArray[np.float32]) -> dict[int, PerUser]:
    """Returns recall of each case, the mean over the starts whose scores have shape `(seeds, n_cases, pool)`."""
    each = [recalls(pools, one) for one in scores]
    return {k: np.mean([found[k] for found in each], axis=0) for k in CUTOFFS}


def _by_right_answers(pools: Pools, seed: int) -> FeatureHead:
    found = np.flatnonzero(pools.right.any(axis=1))
    fits = HeadFit(pools.features[found], right_shares(pools.right[found]))
    return fits.fit(np.arange(len(found)), HeadNetwork(seed), seed=seed)


def _scores(head: FeatureHead, pools: Pools) -> Matrix:
    return head.score(pools.features.reshape(-1, N_FEATURES)).reshape(pools.right.shape)


def _some(pools: Pools, chosen: Mask) -> Pools:
    return Pools(*(getattr(pools, part.name)[chosen] for part in fields(Pools)))


def _mapping(figures: JsonValue) -> Mapping[str, JsonValue]:
    assert isinstance(figures, Mapping)
    return figures


def _recalls(figures: JsonValue) -> tuple[str, ...]:
    return tuple(f"{_mapping(figures)[f'recall@{k}']:.4f}" for k in CUTOFFS)


def _mean(found: Mapping[int, PerUser]) -> PerUser:
    mean: PerUser = np.mean(list(found.values()), axis=0)
    return mean


def _means(found: Mapping[int, PerUser]) -> tuple[str, ...]:
    return tuple(f"{values.mean():.4f}" for values in found.values())
