"""Fitting the tower: full-catalogue softmax over both tasks, histories → next item and texts → items, in one model.

`models.tower` says what is computed, and serves it in numpy. Members are towers of their own: each draws its own start,
examples and dropout. They go through each epoch side by side, so that what they find together can be judged after it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from threading import Event

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.cpu import has_bfloat16
from models.tower import Tower, TowerFacts
from models.training.side_by_side import side_by_side
from models.training.tower_examples import Batch, Examples
from models.training.tower_inputs import TowerInputs, TowerTables
from models.training.tower_module import TowerModule, TowerTraining
from models.types import Matrix

# In smaller catalogues, handing work to other threads takes longer than the work.
_SMALL = 2_000
_LEAST_STEPS = 20  # an epoch; half as many in smaller catalogues


@dataclass(frozen=True, slots=True, eq=False)
class FittedTower:
    """A tower with what it makes of the catalogue.

    Attributes:
        tower: For users and new items.
        items: Output vectors, shape `(n_items, width)`.
        words: What each term adds to a text or an item, shape `(n_terms, width)`.
        losses: Mean training loss of each epoch, over the members.
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
    place, large, losses = torch.device(device), len(inputs.items) >= _SMALL, list[float]()
    at_once = min(facts.members, torch.get_num_threads()) if large and device == "cpu" else 1
    threads = torch.get_num_threads() // at_once if large else 1
    with torch.random.fork_rng(), side_by_side(at_once, threads) as workers:
        torch.manual_seed(seed)
        tables = TowerTables(inputs)
        stopped = Event()
        members = [
            _Member(TowerModule(tables, facts, training, _generator(rng, place)).to(place), examples, rng, stopped)
            for rng in np.random.default_rng(seed).spawn(facts.members)
        ]
        try:
            for _ in range(training.epochs):
                losses.append(float(np.mean(list(workers.map(_Member.epoch, members)))))
                if not on_epoch(fitted := _fitted([member.module for member in members], losses)):
                    break
        finally:
            stopped.set()  # else an interrupted build would wait for the end of an epoch
    return fitted


class _Member:
    """A member that is being fitted.

    Args:
        module: Itself.
        examples: Drawn anew each epoch.
        rng: Of what is drawn.
        stopped: Nobody waits for it any more.
    """

    def __init__(self, module: TowerModule, examples: Examples, rng: np.random.Generator, stopped: Event) -> None:
        self.module, self._examples, self._rng, self._stopped = module, examples, rng, stopped
        training, small = module.settings, module.tables.n_items < _SMALL
        least = _LEAST_STEPS // 2 if small else _LEAST_STEPS
        self._batch = min(training.batch, max(8, math.ceil(examples.n_drawn / least)))
        self._optimiser = _optimiser(module, training)
        steps = training.epochs * math.ceil(examples.n_drawn / self._batch)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, max_lr=training.learning_rate, total_steps=steps + 1, pct_start=0.2
        )

    def epoch(self) -> float:
        """Goes through the examples once, and returns the mean loss."""
        self.module.train()
        batches = takewhile(lambda _: not self._stopped.is_set(), self._examples.batches(self._batch, self._rng))
        return float(np.mean([self._step(batch.to(self.module.tables.warm.device)) for batch in batches]))

    def _step(self, batch: Batch) -> float:
        self._optimiser.zero_grad()
        device = batch.tokens.device.type
        with torch.autocast(device, torch.bfloat16, enabled=fast_bfloat16(device)):
            loss = self.module.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self._optimiser.step()
        self._schedule.step()
        return float(loss.detach())


def _generator(rng: np.random.Generator, device: torch.device) -> torch.Generator:
    """Returns what draws for torch there."""
    return torch.Generator(device).manual_seed(int(rng.integers(2**63)))


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


def _fitted(members: Sequence[TowerModule], losses: Sequence[float]) -> FittedTower:
    facts, each = members[0].facts, [_tensors(member) for member in members]
    tensors = each[0] if facts.members == 1 else {name: np.stack([one[name] for one in each]) for name in each[0]}
    with torch.no_grad():
        items = np.hstack([member.eval().items().cpu().numpy() for member in members])
    words = np.hstack([member.words.detach().cpu().numpy() for member in members])
    return FittedTower(Tower(facts, tensors), items, words, tuple(losses))


def _tensors(member: TowerModule) -> dict[str, NDArray[np.float32]]:
    """Returns copies of what serving needs of a member beside its words."""
    return {
        name: tensor.detach().cpu().numpy().copy()
        for name, tensor in member.named_parameters()
        if name not in ("words", "items_own", "log_scale", "popularity_weight")
    }
