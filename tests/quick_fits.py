"""Fits that are over in half a second, for tests that need something learnt and not that it is learnt well."""

from types import ModuleType

import pytest

from models.training import fit_parts, head

_QUICK: dict[tuple[ModuleType, str], int] = {
    (fit_parts, "_EPOCHS"): 2,
    (fit_parts, "_QUICK_EPOCHS"): 2,
    (head, "_DRAWS"): 1,
}
_THOROUGH = {(module, name): getattr(module, name) for module, name in _QUICK}


def fit_quickly() -> None:
    """Lets every tower of this process be fitted in few epochs, and every head be judged by one draw."""
    for (module, name), few in _QUICK.items():
        setattr(module, name, few)


def fit_thoroughly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets them be fitted and judged as users' are, until the test ends."""
    for (module, name), thorough in _THOROUGH.items():
        monkeypatch.setattr(module, name, thorough)
