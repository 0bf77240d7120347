"""Cross-entropy over a catalogue, so that little of a step is spent on memory.

Questions are gone through in blocks, or one by one by the compiled library, and what is kept of them is the gradient,
not the logits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.native.library import LIBRARY
from models.native.softmax import softmax_gradient
from models.training.filled import MULTIPLE, filled

# Logits at once, (questions, items) in float32. Below 32 MB the C library keeps the memory instead of asking for
# fresh pages each time, and what is written is still in the cache when it is read again.
_LOGITS = 1_000_000
# The library works in one thread, and three of torch's take as long.
_FEW_THREADS = 3


@dataclass(frozen=True, slots=True)
class Asks:
    """What is asked of a batch's questions.

    Attributes:
        question: Row of each target's question, shape `(n_targets,)`.
        target: Column of the item, shape `(n_targets,)`.
        weight: Shape `(n_targets,)`.
    """

    question: Tensor
    target: Tensor
    weight: Tensor


def cross_entropy(users: Tensor, items: Tensor, bias: Tensor, asks: Asks) -> Tensor:
    """Returns the weighted mean of the targets' cross-entropy over softmax(users·itemsᵀ + bias).

    Args:
        users: Of the questions, shape `(q, dim)`.
        items: Shape `(n, dim)`.
        bias: Of the items, shape `(n,)`.
        asks: The right answers.
    """
    loss: Tensor = _CrossEntropy.apply(users, items, bias, asks)  # type: ignore[no-untyped-call]  # torch ships it untyped
    return loss


class _CrossEntropy(torch.autograd.Function):
    """With weights w that sum to 1, the gradient by the logits is Σw·softmax, less w at the targets."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, bias: Tensor, asks: Asks) -> Tensor:  # noqa: ANN401  # torch's
        device = users.device.type
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        # Autocast would turn the products with float32 gradients into others than torch's own backward takes.
        with torch.autocast(device, enabled=False):
            n, q = len(items), len(users)
            low_items = filled(items.detach()).to(low)
            by_library = _library_is_faster(device, low)
            # What is filled up has no share of the softmax and thereby no gradient.
            full_bias = F.pad(bias.detach().float(), (0, len(low_items) - n), value=-torch.inf)
            size = MULTIPLE if by_library else max(1, min(_LOGITS // len(low_items), q))
            low_users = filled(users.detach(), size).to(low)
            if by_library:
                loss, of_logits, of_bias = _by_library(low_users, low_items, full_bias, asks)
            else:
                loss, of_logits, of_bias = _by_block(low_users, low_items, full_bias, asks, size)
            of_users, of_items = (of_logits @ low_items)[:q], (of_logits.T @ low_users)[:n]
            of_bias = of_bias[:n]
        ctx.save_for_backward(of_users.to(users.dtype), of_items.to(items.dtype), of_bias.to(bias.dtype))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401  # torch's
        of_users, of_items, of_bias = ctx.saved_tensors
        return outer * of_users, outer * of_items, outer * of_bias, None


def _library_is_faster(device: str, kind: torch.dtype) -> bool:
    """Returns whether the compiled library reads logits of that type there, and sooner than torch."""
    reads = LIBRARY is not None and device == "cpu" and kind == torch.bfloat16
    return reads and torch.get_num_threads() <= _FEW_THREADS


def _by_library(users: Tensor, items: Tensor, bias: Tensor, asks: Asks) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what `_by_block` does of bfloat16."""
    of_logits, weight = torch.mm(users, items.T), asks.weight / asks.weight.sum()
    bits = of_logits.view(torch.int16).numpy().view(np.uint16)
    each = (tensor.numpy() for tensor in (bias, asks.question, asks.target, weight))
    likelihood, of_bias = softmax_gradient(bits, *each)
    return -(weight * torch.from_numpy(likelihood)).sum(), of_logits, torch.from_numpy(of_bias)


def _by_block(users: Tensor, items: Tensor, bias: Tensor, asks: Asks, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the loss, its gradient by the logits, shape `(q, n)` in the users' type, and by the bias.

    Args:
        users: Of the questions, shape `(q, dim)`.
        items: Shape `(n, dim)`.
        bias: Of the items, shape `(n,)`.
        asks: The right answers.
        size: Questions at once; q is a multiple of it.
    """
    q, n = len(users), len(items)
    weight = asks.weight / asks.weight.sum()
    of_question = torch.zeros(q, device=users.device).index_add_(0, asks.question, weight)
    of_logits = torch.empty((q, n), dtype=users.dtype, device=users.device)
    logits = torch.empty((size, n), dtype=torch.float32, device=users.device)
    loss, of_bias = torch.zeros((), device=users.device), torch.zeros_like(bias)
    for start in range(0, q, size):
        rows = slice(start, start + size)
        torch.add(torch.mm(users[rows], items.T, out=of_logits[rows]), bias, out=logits)
        logits.sub_(logits.amax(dim=1, keepdim=True))
        inside = (asks.question >= start) & (asks.question < rows.stop)
        place = asks.question[inside] - start, asks.target[inside]
        at_target = logits[place]
        total = logits.exp_().sum(dim=1, keepdim=True)
        loss -= (weight[inside] * (at_target - total[place[0], 0].log())).sum()
        gradient = logits.mul_(of_question[rows, None] / total)
        gradient.index_put_(place, -weight[inside], accumulate=True)
        of_bias += gradient.sum(dim=0)
        of_logits[rows] = gradient
    return loss, of_logits, of_bias
