"""Dropout by bytes: the rate, the scale, the gradient, the seed."""

import pytest
import torch

from models.training import dropout as module
from models.training.dropout import dropout

N = 200_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=[module._kept_by_bytes, module._kept], ids=["as on a CPU", "as on a GPU"], autouse=True)
def _on_each_device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws on other devices draws here, too."""
    monkeypatch.setattr(module, "_kept_by_bytes", request.param)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_so_many_are_left_out_and_the_mean_stays(rate: float) -> None:
    """Within five standard errors of the rate's nearest 256th."""
    found = dropout(torch.ones(N), rate, seeded())
    assert (found == 0).float().mean().item() == pytest.approx(rate, abs=1 / 512 + 5 * (rate * (1 - rate) / N) ** 0.5)
    (scale,) = set(found[found != 0].tolist())
    assert scale == pytest.approx(1 / (1 - rate), rel=1 / 128)
    assert found.mean().item() == pytest.approx(1, abs=0.01)


def test_neighbours_are_drawn_one_by_one() -> None:
    """Eight values share one random number: none of its bytes says anything about another."""
    kept = (dropout(torch.ones(N // 8, 8), 0.5, seeded()) != 0).float()
    correlations = torch.corrcoef(kept.T) - torch.eye(8)
    assert correlations.abs().max().item() < 5 * (8 / N) ** 0.5


def test_only_what_is_kept_has_a_gradient() -> None:
    values = torch.ones(3, 5, requires_grad=True)
    found = dropout(values, 0.5, seeded())
    (gradient,) = torch.autograd.grad(found.sum(), values)
    torch.testing.assert_close(gradient, found.detach())


def test_a_seed_repeats_and_the_type_stays() -> None:
    values = torch.ones(7, 9, dtype=torch.bfloat16)
    generator = seeded(3)
    first, second = dropout(values, 0.3, generator), dropout(values, 0.3, generator)
    torch.testing.assert_close(dropout(values, 0.3, seeded(3)), first)
    assert not torch.equal(first, second)
    assert first.dtype == torch.bfloat16


def test_no_rate_leaves_all() -> None:
    values = torch.randn(4, 4)
    torch.testing.assert_close(dropout(values, 0.0, seeded()), values)
