"""Losses of the relation head that the product doesn't use, in the form in which its list-wise one is written.

The head's loss is -Σ wanted · f(scores), where `wanted` is 1 at the right answer (1/n at each of n) in the heads that
are compared here, and f is the log-softmax over the pool. Another f makes another loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_PAIRED = 64  # candidates that each right answer is paired with


def pairwise(scores: Tensor, *, dim: int) -> Tensor:
    """Returns, for each candidate, the mean log-probability that it beats another of the pool (BPR, Rendle 2009)."""
    assert dim == -1
    others = scores[:, torch.randperm(scores.shape[-1])[:_PAIRED]]
    return F.logsigmoid(scores[:, :, None] - others[:, None, :]).mean(dim=-1)


def binary_cross_entropy(scores: Tensor, *, dim: int) -> Tensor:
    """Returns, for each candidate, the log-likelihood of the pool if it alone is right; exact for one right answer."""
    assert dim == -1
    wrong = F.logsigmoid(-scores)
    return F.logsigmoid(scores) - wrong + wrong.sum(dim=-1, keepdim=True)
