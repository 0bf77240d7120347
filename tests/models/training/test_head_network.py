"""The feature head's network: its start, its fits, and that torch and the compiled library give the same head."""

import numpy as np
import pytest
import torch

from models.relation_features import N_FEATURES
from models.training import head_network
from models.training.head_network import HeadFit, HeadNetwork
from models.types import Matrix


def pools(n_pools: int, seed: int = 0) -> tuple[np.ndarray[tuple[int, int, int], np.dtype[np.float32]], Matrix]:
    """Pools of 40 in which the fourth feature tells the right answer."""
    features = np.random.default_rng(seed).standard_normal((n_pools, 40, N_FEATURES)).astype(np.float32)
    return features, features[:, :, 3] == features[:, :, 3].max(axis=1, keepdims=True)


def test_it_starts_at_the_recall_score() -> None:
    features = torch.from_numpy(pools(3)[0])
    torch.testing.assert_close(HeadNetwork(0)(features), features[:, :, 0])


def test_starts_are_the_seeds() -> None:
    first, again, other = (HeadNetwork(seed).inner.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_library_and_torch_fit_the_same_head(monkeypatch: pytest.MonkeyPatch) -> None:
    features, right = pools(200)
    by_library = HeadFit(features, right.astype(np.float32)).fit(np.arange(200), HeadNetwork(0), seed=0)
    monkeypatch.setattr(head_network, "LIBRARY", None)
    by_torch = HeadFit(features, right.astype(np.float32)).fit(np.arange(200), HeadNetwork(0), seed=0)
    for name, tensor in by_torch.tensors.items():
        np.testing.assert_allclose(by_library.tensors[name], tensor, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("without", [False, True], ids=["library", "torch"])
def test_it_is_fitted_on_the_pools_it_is_given(monkeypatch: pytest.MonkeyPatch, *, without: bool) -> None:
    """Answers of the other pools say the opposite."""
    if without:
        monkeypatch.setattr(head_network, "LIBRARY", None)
    features, right = pools(1200)
    least = features[:, :, 3] == features[:, :, 3].min(axis=1, keepdims=True)
    asked = np.arange(1200) % 2 == 0
    fit = HeadFit(features, np.where(asked[:, None], right, least).astype(np.float32))
    scores = fit.fit(np.flatnonzero(asked), HeadNetwork(0), seed=0).score(features.reshape(-1, N_FEATURES))
    assert (scores.reshape(1200, 40).argmax(axis=1) == right.argmax(axis=1)).mean() > 0.8
