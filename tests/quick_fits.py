"""Fits that are over in half a second, for tests that need something learnt and not that it is learnt well."""

from functools import partial

import pytest

from models.training import fit_parts
from models.training.tower_module import TowerTraining

_EPOCHS, _THOROUGH = 2, fit_parts._QUICK_EPOCHS


def fit_quickly() -> None:
    """Lets every tower of this process be fitted in few epochs."""
    fit_parts.TowerTraining = partial(TowerTraining, epochs=_EPOCHS)  # type: ignore[assignment, misc]  # a partial stands in for the class
    fit_parts._QUICK_EPOCHS = _EPOCHS


def fit_thoroughly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets towers be fitted as users' are, until the test ends."""
    monkeypatch.setattr(fit_parts, "TowerTraining", TowerTraining)
    monkeypatch.setattr(fit_parts, "_QUICK_EPOCHS", _THOROUGH)
