"""Fits that are over in half a second, for tests that need something learnt and not that it is learnt well."""

import pytest

from models.training import fit_parts

_FEW = 2
_THOROUGH = {name: getattr(fit_parts, name) for name in ("_EPOCHS", "_QUICK_EPOCHS")}


def fit_quickly() -> None:
    """Lets every tower of this process be fitted in few epochs."""
    fit_parts._EPOCHS = fit_parts._QUICK_EPOCHS = _FEW


def fit_thoroughly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets towers be fitted as users' are, until the test ends."""
    for name, epochs in _THOROUGH.items():
        monkeypatch.setattr(fit_parts, name, epochs)
