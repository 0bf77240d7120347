"""The feature head's network, and how it is fitted: list-wise, by the cross-entropy of what is wanted over the pool."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.native.head_gradient import HeadPools
from models.native.library import LIBRARY
from models.relation_features import N_FEATURES
from models.relation_head import HIDDEN, FeatureHead
from models.types import Matrix, Rows

_EPOCHS = 15
_RATE = 5e-3
_BATCH = 64

PoolFeatures: TypeAlias = np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
"""Of pools, shape `(n_pools, pool, N_FEATURES)`."""


class HeadNetwork(nn.Module):
    """The feature head in torch; its last layer starts at 0 and its linear part at the recall score.

    Args:
        seed: Of the start.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
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


class HeadFit:
    """Pools that heads are fitted on, all or some at a time.

    Args:
        features: By which candidates are told apart.
        wanted: What share of the softmax each candidate should have, shape `(n_pools, pool)`.
    """

    def __init__(self, features: PoolFeatures, wanted: Matrix) -> None:
        self._mean, deviation = features.mean(axis=(0, 1)), features.std(axis=(0, 1))
        self._deviation = np.where(deviation > 1e-6, deviation, 1).astype(np.float32)
        self._add_gradient = _gradient((features - self._mean) / self._deviation, wanted)

    def fit(self, pools: Rows, network: HeadNetwork, *, seed: int) -> FeatureHead:
        """Returns the head that a network becomes on some of the pools.

        Args:
            pools: Which.
            network: Where it starts.
            seed: Of the batches.
        """
        generator, rows = torch.Generator().manual_seed(seed), torch.from_numpy(pools)
        optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-2, fused=True)
        steps = _EPOCHS * -(-len(rows) // _BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_RATE, total_steps=steps + 1)
        for _ in range(_EPOCHS):
            for batch in torch.split(rows[torch.randperm(len(rows), generator=generator)], _BATCH):
                optimiser.zero_grad()
                self._add_gradient(network, batch)
                optimiser.step()
                schedule.step()
        tensors = {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}
        tensors["outer.weight"] = tensors["outer.weight"][0]
        return FeatureHead(tensors | {"mean": self._mean.astype(np.float32), "deviation": self._deviation})


def _gradient(features: PoolFeatures, wanted: Matrix) -> Callable[[HeadNetwork, Tensor], None]:
    """Returns what gives a network's parameters their gradients by some of the pools.

    Layers this narrow take torch three times as long as the compiled library, which goes through them pool by pool.

    Args:
        features: Standard.
        wanted: Shares of the softmax, shape `(n_pools, pool)`.
    """
    if LIBRARY is not None:
        pools = HeadPools(features, wanted)

        def by_library(network: HeadNetwork, batch: Tensor) -> None:
            parameters = dict(network.named_parameters())
            _, found = pools.gradient({name: one.detach().numpy() for name, one in parameters.items()}, batch.numpy())
            for name, gradient in found.items():
                parameters[name].grad = torch.from_numpy(gradient)

        return by_library
    known, shares = torch.from_numpy(features), torch.from_numpy(wanted)

    def by_torch(network: HeadNetwork, batch: Tensor) -> None:
        loss = -(shares[batch] * F.log_softmax(network(known[batch]), dim=-1)).sum(dim=-1).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped

    return by_torch
