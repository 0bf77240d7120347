"""Dropout at a tenth of the work that torch's own takes on a CPU."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS = 256  # of a byte


def dropout(values: Tensor, rate: float) -> Tensor:
    """Returns the values with a share of them set to 0, the others scaled up so that the mean stays.

    On a CPU the share is the rate's nearest 256th: a random byte decides about each value.
    """
    out = round(_STEPS * rate)
    if out == 0 or values.device.type != "cpu":
        return F.dropout(values, rate)
    drawn = torch.randint(-(2**63), 2**63 - 1, (math.ceil(values.numel() / 8),))
    kept = drawn.view(torch.uint8)[: values.numel()].view(values.shape) >= out
    return values * kept.to(values.dtype).mul_(_STEPS / (_STEPS - out))
