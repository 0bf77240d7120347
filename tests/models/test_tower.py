"""The tower in the service: what it costs depends on never leaving float32."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tower import Tower, TowerFacts
from models.types import Matrix
from tests.models.test_fused import TEXT_DIM, TOWER, random, some_tower


def test_one_member_leaves_the_manifest_as_it_was_before_there_were_several() -> None:
    """Older artifacts' manifests have to be canonical still."""
    facts = TowerFacts()
    assert "members" not in facts.model_dump()
    assert TowerFacts.model_validate(facts.model_dump()) == facts
    assert TowerFacts(members=2).model_dump()["members"] == 2


@given(seed=st.integers(0, 2**20), n_texts=st.integers(0, 3), n_items=st.integers(0, 4))
def test_the_user_of_two_members_is_the_users_of_each(seed: int, n_texts: int, n_items: int) -> None:
    """Also for one token, which isn't compared with others, and for nobody."""
    tower = some_tower(members=2)
    facts = tower.facts.model_copy(update={"members": 1})
    texts, items = unit_by_member(seed, n_texts), unit_by_member(seed + 1, n_items)
    weights = np.random.default_rng(seed).random(n_items).astype(np.float32)
    found = tower.user(texts, items, weights)
    for member, own in enumerate((slice(0, facts.dim), slice(facts.dim, None))):
        alone = Tower(facts, {name: tensor[member] for name, tensor in tower.tensors.items()})
        expected = alone.user(texts[:, own], items[:, own], weights)
        np.testing.assert_allclose(found[own], expected, atol=1e-4)
        assert np.linalg.norm(expected) == pytest.approx(float(n_texts + n_items > 0), abs=1e-5)


def unit_by_member(seed: int, n: int) -> Matrix:
    """Returns output vectors of two members, shape `(n, TOWER)`."""
    rows = random(seed, n, 2, TOWER // 2)
    unit: Matrix = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).reshape(n, TOWER)
    return unit


@pytest.mark.parametrize("members", [1, 2])
def test_nothing_on_the_way_becomes_float64(members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of numpy's own float64 scalars on the way is enough to double the time of a user vector."""
    seen: list[np.dtype[np.floating]] = []
    plain = Tower._linear

    def recorded(tower: Tower, name: str, inputs: Matrix) -> Matrix:
        seen.append(inputs.dtype)
        return plain(tower, name, inputs)

    monkeypatch.setattr(Tower, "_linear", recorded)
    tower = some_tower(members=members)
    texts = tower.texts(random(0, 2, TEXT_DIM), random(1, 2, TOWER))
    user = tower.user(texts, random(2, 3, TOWER), np.ones(3, np.float32))
    assert {*seen, texts.dtype, user.dtype} == {np.dtype(np.float32)}
