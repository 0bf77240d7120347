"""The compiled gradient of a softmax's cross-entropy against torch's, computed exactly from the same logits."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from models.native.softmax import softmax_gradient
from models.types import Rows, Vector

Drawn = tuple[torch.Tensor, Vector, Rows, Rows, Vector]


def drawn(seed: int, q: int, n: int, n_targets: int, *, size: float = 3) -> Drawn:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(size * rng.standard_normal((q, n), np.float32)).to(torch.bfloat16)
    bias, weight = rng.standard_normal(n, np.float32), rng.random(n_targets, np.float32)
    return logits, bias, rng.integers(q, size=n_targets), rng.integers(n, size=n_targets), weight


def by_torch(drawn: Drawn) -> tuple[Vector, Vector, Vector]:
    """Returns log likelihood, gradient by the logits, gradient by the bias."""
    logits, bias, question, target, weight = drawn
    exact, added = logits.double().requires_grad_(), torch.from_numpy(bias).double().requires_grad_()
    likelihood = F.log_softmax(exact + added, dim=-1)[question, target]
    of_logits, of_bias = torch.autograd.grad(-(torch.from_numpy(weight) * likelihood).sum(), (exact, added))
    return likelihood.detach().float().numpy(), of_logits.float().numpy(), of_bias.float().numpy()


def by_library(drawn: Drawn) -> tuple[Vector, Vector, Vector]:
    logits, bias, question, target, weight = drawn
    logits = logits.clone()
    bits = logits.view(torch.int16).numpy().view(np.uint16)
    likelihood, of_bias = softmax_gradient(bits, bias, question, target, weight)
    return likelihood, logits.float().numpy(), of_bias


@given(
    seed=st.integers(0, 2**20), q=st.integers(1, 6), n=st.integers(1, 70), n_targets=st.integers(0, 20),
    size=st.sampled_from([0.0, 1.0, 30.0]),
)  # fmt: skip
def test_likelihood_and_gradients_are_torchs(seed: int, q: int, n: int, n_targets: int, size: float) -> None:
    """Targets repeat, questions have none, few or many; widths fill the registers, or don't."""
    given = drawn(seed, q, n, n_targets, size=size)
    likelihood, of_logits, of_bias = by_library(given)
    exact_likelihood, exact_of_logits, exact_of_bias = by_torch(given)
    np.testing.assert_allclose(likelihood, exact_likelihood, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(of_logits, exact_of_logits, rtol=2**-8, atol=1e-5)  # a target takes its weight from it
    np.testing.assert_allclose(of_bias, exact_of_bias, rtol=1e-5, atol=1e-5)


def test_items_that_are_no_items_have_no_share() -> None:
    logits, bias, question, target, weight = drawn(1, 3, 20, 5)
    bias[7:] = -np.inf
    _, of_logits, of_bias = by_library((logits, bias, question, target % 7, weight))
    assert not of_logits[:, 7:].any()
    assert not of_bias[7:].any()


def test_spread_logits_leave_no_numbers_that_take_long() -> None:
    """What is no normal number takes a CPU ten times as long."""
    given = drawn(1, 20, 500, 30, size=60)
    likelihood, of_logits, of_bias = by_library(given)
    for found in (of_logits, of_bias):
        assert not ((found != 0) & (np.abs(found) < np.finfo(np.float32).tiny)).any()
    np.testing.assert_allclose(likelihood, by_torch(given)[0], rtol=1e-5, atol=1e-4)


def test_what_is_no_number_stays_none() -> None:
    """A fit that has come apart shows."""
    logits, bias, question, target, weight = drawn(1, 2, 20, 4)
    logits[0, 3] = torch.nan
    likelihood, of_logits, _ = by_library((logits, bias, question, target, weight))
    assert np.isnan(of_logits[0]).all()
    assert np.isfinite(of_logits[1]).all()
    np.testing.assert_array_equal(np.isnan(likelihood), question == 0)


@pytest.mark.parametrize(("n_biases", "question", "target"), [(19, 1, 3), (20, 1, 20), (20, 1, -1), (20, 2, 3)])
def test_nothing_outside_the_logits_is_read_or_written(n_biases: int, question: int, target: int) -> None:
    bias, weight = np.zeros(n_biases, np.float32), np.ones(1, np.float32)
    with pytest.raises(ValueError, match=r"shape \(2, 20\)"):
        softmax_gradient(np.zeros((2, 20), np.uint16), bias, np.array([question]), np.array([target]), weight)


def test_each_target_has_a_question_and_a_weight() -> None:
    bias, one, two = np.zeros(20, np.float32), np.zeros(1, np.int64), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match=r"\(1, 2, 1\)"):
        softmax_gradient(np.zeros((2, 20), np.uint16), bias, one, two, np.ones(1, np.float32))
