from typing import Any

import pytest

from index_builder import finetune as module
from models.training.finetune_pairs import PairSet
from models.training.interactions import Interactions


@pytest.fixture
def pairs_seen(monkeypatch: pytest.MonkeyPatch) -> list[Interactions]:
    """The interactions that pairs were made of."""
    seen: list[Interactions] = []
    real = module.make_pairs

    def make(past: Interactions, *args: Any, **more: Any) -> PairSet:
        seen.append(past)
        return real(past, *args, **more)

    monkeypatch.setattr(module, "make_pairs", make)
    return seen
