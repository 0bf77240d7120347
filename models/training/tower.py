"""Fitting the tower: full-catalogue softmax over both tasks, histories → next item and texts → items, in one model.

`models.tower` says what is computed, and serves it in numpy.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.cpu import has_bfloat16
from models.tower import Tower, TowerFacts
from models.training.tower_examples import Batch, Examples
from models.training.tower_module import TowerInputs, TowerModule, TowerTraining
from models.types import Matrix

# In smaller catalogues, handing work to other threads takes longer than the work.
_SMALL = 2_000
_LEAST_STEPS = 20  # an epoch; half as many in smaller catalogues


@dataclass(frozen=True, slots=True, eq=False)
class FittedTower:
    """A tower with what it makes of the catalogue.

    Attributes:
        tower: For users and new items.
        items: Output vectors, shape `(n_items, dim)`.
        words: What each term adds to a text or an item, shape `(n_terms, dim)`.
        losses: Mean training loss of each epoch.
    """

    tower: Tower
    items: Matrix
    words: Matrix
    losses: tuple[float, ...]


def fit_tower(
    inputs: TowerInputs,
    examples: Examples,
    facts: TowerFacts,
    training: TowerTraining,
    *,
    device: str = "cpu",
    seed: int = 0,
    on_epoch: Callable[[FittedTower], bool] = lambda _: True,
) -> FittedTower:
    """Fits a tower; the same inputs and seed give the same tower on the same machine.

    Args:
        inputs: What it reads.
        examples: Drawn anew each epoch.
        facts: Its shape.
        training: How it is fitted.
        device: Torch's word for where.
        seed: Of start, draws and dropout.
        on_epoch: Gets the tower after each epoch, and says whether there is to be another.
    """
    rng, place = np.random.default_rng(seed), torch.device(device)
    small = len(inputs.items) < _SMALL
    least = _LEAST_STEPS // 2 if small else _LEAST_STEPS
    batch_size = min(training.batch, max(8, math.ceil(examples.n_drawn / least)))
    losses: list[float] = []
    with torch.random.fork_rng(), _threads(1 if small else torch.get_num_threads()):
        torch.manual_seed(seed)
        module = TowerModule(inputs, facts, training).to(place)
        optimiser = _optimiser(module, training)
        steps = training.epochs * math.ceil(examples.n_drawn / batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=training.learning_rate, total_steps=steps + 1, pct_start=0.2
        )
        for _ in range(training.epochs):
            module.train()
            batches = examples.batches(batch_size, rng)
            losses.append(float(np.mean([_step(module, batch.to(place), optimiser, schedule) for batch in batches])))
            if not on_epoch(_fitted(module, losses)):
                break
    return _fitted(module, losses)


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Lets torch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _step(
    module: TowerModule,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    optimiser.zero_grad()
    device = batch.tokens.device.type
    with torch.autocast(device, torch.bfloat16, enabled=fast_bfloat16(device)):
        loss = module.loss(batch)
    loss.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimiser.step()
    schedule.step()
    return float(loss.detach())


def fast_bfloat16(device: str) -> bool:
    """Returns whether bfloat16 products are faster than float32 ones there."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device == "cpu" and has_bfloat16()


def _optimiser(module: TowerModule, training: TowerTraining) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)


def _fitted(module: TowerModule, losses: list[float]) -> FittedTower:
    module.eval()
    with torch.no_grad():
        items: Matrix = module.items().cpu().numpy().copy()
    tensors: dict[str, NDArray[np.float32]] = {
        name: tensor.detach().cpu().numpy().copy()
        for name, tensor in module.named_parameters()
        if name not in ("words", "items_own", "log_scale", "popularity_weight")
    }
    words = module.words.detach().cpu().numpy().copy()
    return FittedTower(Tower(module.facts, tensors), items, words, tuple(losses))
