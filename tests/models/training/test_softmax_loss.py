"""The blockwise cross-entropy equals torch's own, loss and gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.training import softmax_loss
from models.training.softmax_loss import Asks, cross_entropy

DIM = 5
Leaves = tuple[Tensor, Tensor, Tensor]


def by_torch(users: Tensor, items: Tensor, bias: Tensor, asks: Asks) -> Tensor:
    log_likelihood = F.log_softmax((users @ items.T).float() + bias, dim=-1)[asks.question, asks.target]
    return -(asks.weight * log_likelihood).sum() / asks.weight.sum()


def drawn(seed: int, q: int, n: int, n_targets: int) -> tuple[Leaves, Asks]:
    """Returns leaves and asks; with more targets than questions, some questions have several."""
    rng = torch.Generator().manual_seed(seed)
    users, items, bias = (torch.randn(*shape, generator=rng).requires_grad_() for shape in ((q, DIM), (n, DIM), (n,)))
    question = torch.randint(q, (n_targets,), generator=rng)
    target = torch.randint(n, (n_targets,), generator=rng)
    return (users, items, bias), Asks(question, target, 0.1 + torch.rand(n_targets, generator=rng))


def gradients(loss: Tensor, leaves: Leaves) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, leaves)


@given(
    seed=st.integers(0, 2**20),
    q=st.integers(1, 9),
    n=st.integers(1, 12),
    n_targets=st.integers(1, 20),
    at_once=st.sampled_from([1, 30, 1_000_000]),
)
def test_loss_and_gradients_are_torchs_own(seed: int, q: int, n: int, n_targets: int, at_once: int) -> None:
    """Whatever the blocks: one question each, several, all; with targets that repeat and questions of none."""
    leaves, asks = drawn(seed, q, n, n_targets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softmax_loss, "_LOGITS", at_once)
        found = 3 * cross_entropy(*leaves, asks)
    expected = 3 * by_torch(*leaves, asks)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(gradients(found, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_large_logits_do_not_overflow() -> None:
    (users, items, bias), asks = drawn(0, 4, 6, 8)
    leaves = ((1e3 * users).detach().requires_grad_(), items, bias)
    found, expected = cross_entropy(*leaves, asks), by_torch(*leaves, asks)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert all(gradient.isfinite().all() for gradient in gradients(found, leaves))


@pytest.mark.parametrize("threads", [1, 4])
def test_in_bfloat16_it_is_as_near_as_torchs_own(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under autocast products are bfloat16, sums are not: no further from float32 than torch's, but for rounding."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)  # with few, the library does it
    leaves, asks = drawn(1, 40, 60, 80)
    exact = gradients(by_torch(*leaves, asks), leaves)
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy(*leaves, asks)
        mine = gradients(loss, leaves)
    torch.testing.assert_close(loss, by_torch(*leaves, asks), rtol=1e-2, atol=1e-2)
    for found, expected in zip(mine, exact, strict=True):
        assert found.dtype == torch.float32
        assert (found - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize(("threads", "by_library"), [(1, True), (3, True), (4, False)])
def test_few_threads_leave_the_logits_to_the_library(
    threads: int, by_library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert softmax_loss._library_is_faster("cpu", torch.bfloat16) == by_library
    assert not softmax_loss._library_is_faster("cpu", torch.float32)
    assert not softmax_loss._library_is_faster("cuda", torch.bfloat16)
    monkeypatch.setattr(softmax_loss, "LIBRARY", None)
    assert not softmax_loss._library_is_faster("cpu", torch.bfloat16)
