"""Dropout with a generator of its own, at a tenth of the work that torch's takes on a CPU."""

import math

import torch
from torch import Tensor

_STEPS = 256  # of a byte


def dropout(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Returns the values with a share of them set to 0, the others scaled up so that the mean stays.

    On a CPU the share is the rate's nearest 256th: a random byte decides about each value.

    Args:
        values: Any.
        rate: Share that is set to 0.
        generator: Of what is drawn, on the values' device.
    """
    if rate == 0:
        return values
    draw = _kept_by_bytes if values.device.type == "cpu" else _kept
    return values * draw(values, rate, generator)


def _kept(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Returns what each value is multiplied by."""
    return torch.empty_like(values).bernoulli_(1 - rate, generator=generator).div_(1 - rate)


def _kept_by_bytes(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    out = round(_STEPS * rate)
    drawn = torch.randint(-(2**63), 2**63 - 1, (math.ceil(values.numel() / 8),), generator=generator)
    kept = drawn.view(torch.uint8)[: values.numel()].view(values.shape) >= out
    return kept.to(values.dtype).mul_(_STEPS / (_STEPS - out))
