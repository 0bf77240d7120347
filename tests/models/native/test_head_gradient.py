"""The compiled loss of the feature head and its gradient against torch's, in double precision."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.native.head_gradient import HeadPools
from models.types import Rows, Vector

Floats = NDArray[np.float32]


def pools(seed: int, n_pools: int, size: int, n_features: int, *, spread: float = 1) -> tuple[Floats, Floats]:
    """Features, and shares of one to three right answers of each pool."""
    rng = np.random.default_rng(seed)
    features = spread * rng.standard_normal((n_pools, size, n_features), np.float32)
    wanted = np.zeros((n_pools, size), np.float32)
    for row in wanted:
        right = rng.choice(size, min(size, int(rng.integers(1, 4))), replace=False)
        row[right] = 1 / len(right)
    return features, wanted


def parameters(seed: int, n_features: int, hidden: int) -> dict[str, Vector]:
    rng = np.random.default_rng(seed)
    shapes = {
        "inner.weight": (hidden, n_features),
        "inner.bias": (hidden,),
        "middle.weight": (hidden, hidden),
        "middle.bias": (hidden,),
        "outer.weight": (1, hidden),
        "linear": (n_features,),
    }
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def by_torch(features: Floats, wanted: Floats, given: dict[str, Vector], rows: Rows) -> tuple[float, dict[str, Vector]]:
    known = {name: torch.from_numpy(one).double().requires_grad_() for name, one in given.items()}
    x = torch.from_numpy(features[rows]).double()
    hidden = F.relu(x @ known["inner.weight"].T + known["inner.bias"])
    hidden = F.relu(hidden @ known["middle.weight"].T + known["middle.bias"])
    scores = x @ known["linear"] + (hidden @ known["outer.weight"].T)[..., 0]
    loss = -(torch.from_numpy(wanted[rows]) * F.log_softmax(scores, dim=-1)).sum(dim=-1).mean()
    found = torch.autograd.grad(loss, list(known.values()))
    return loss.item(), {name: one.numpy() for name, one in zip(known, found, strict=True)}


@given(
    seed=st.integers(0, 2**20), n_pools=st.integers(1, 5), size=st.sampled_from([1, 2, 15, 16, 17, 40]),
    n_features=st.integers(1, 9), hidden=st.integers(1, 9), spread=st.sampled_from([0.0, 1.0, 30.0]),
)  # fmt: skip
def test_loss_and_gradient_are_torchs(
    seed: int, n_pools: int, size: int, n_features: int, hidden: int, spread: float
) -> None:
    """Pools fill the registers or don't, layers come in whole tiles or don't, pools are asked for twice or not."""
    features, wanted = pools(seed, n_pools, size, n_features, spread=spread)
    given, rows = parameters(seed, n_features, hidden), np.random.default_rng(seed).integers(n_pools, size=4)
    loss, found = HeadPools(features, wanted).gradient(given, rows)
    expected, exact = by_torch(features, wanted, given, rows)
    assert loss == pytest.approx(expected, rel=1e-4, abs=1e-4)
    for name, gradient in exact.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-3, atol=1e-4 * max(1, np.abs(gradient).max()))


def test_a_fit_that_has_come_apart_shows() -> None:
    features, wanted = pools(0, 2, 20, 3)
    features[1, 4, 0] = np.nan
    given = parameters(0, 3, 4)
    asked = HeadPools(features, wanted)
    assert np.isfinite(asked.gradient(given, np.array([0]))[0])
    assert np.isnan(asked.gradient(given, np.array([0, 1]))[0])


@pytest.mark.parametrize(
    ("rows", "n_features", "says"),
    [([2], 3, "of 2"), ([-1], 3, "of 2"), ([], 3, "of 2"), ([0], 4, "for 4 features, pools have 3")],
)
def test_what_would_be_read_out_of_bounds_is_refused(rows: list[int], n_features: int, says: str) -> None:
    asked = HeadPools(*pools(0, 2, 20, 3))
    with pytest.raises(ValueError, match=says):
        asked.gradient(parameters(0, n_features, 4), np.array(rows, np.int64))


def test_shares_of_other_pools_are_refused() -> None:
    features, wanted = pools(0, 2, 20, 3)
    with pytest.raises(ValueError, match=r"features of shape \(2, 20, 3\), wanted of \(2, 19\)"):
        HeadPools(features, wanted[:, 1:])


def test_parameters_of_other_shapes_are_refused() -> None:
    given = parameters(0, 3, 4) | {"middle.bias": np.zeros(5, np.float32)}
    with pytest.raises(ValueError, match=r"middle\.bias has 5 numbers, 4 are needed"):
        HeadPools(*pools(0, 2, 20, 3)).gradient(given, np.array([0]))
