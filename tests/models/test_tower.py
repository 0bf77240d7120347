"""The tower in the service: what it costs depends on never leaving float32."""

import numpy as np
import pytest

from models.tower import Tower
from models.types import Matrix
from tests.models.test_fused import TEXT_DIM, TOWER, random, some_tower


def test_nothing_on_the_way_becomes_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of numpy's own float64 scalars on the way is enough to double the time of a user vector."""
    seen: list[np.dtype[np.floating]] = []
    plain = Tower._linear

    def recorded(tower: Tower, name: str, inputs: Matrix) -> Matrix:
        seen.append(inputs.dtype)
        return plain(tower, name, inputs)

    monkeypatch.setattr(Tower, "_linear", recorded)
    tower = some_tower()
    texts = tower.texts(random(0, 2, TEXT_DIM), random(1, 2, TOWER))
    tower.user(texts, random(2, 3, TOWER), np.ones(3, np.float32))
    assert set(seen) == {np.dtype(np.float32)}
