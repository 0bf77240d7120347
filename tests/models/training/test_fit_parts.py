"""Fitting the parts: what has a closed form once, towers as often as is asked."""

from dataclasses import replace

import numpy as np
import pytest

from models.training import fit_parts as module
from models.training.fit_parts import PartsFit, fit_parts
from models.training.tower_module import TowerTraining
from tests.models.training.test_fit import world
from tests.quick_fits import fit_thoroughly

ONE_EPOCH = TowerTraining(epochs=1)


def test_a_second_tower_stands_on_the_same_closed_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds, and are the same for every tower."""
    found = PartsFit(*world())
    monkeypatch.delattr(module, "factorise")
    first, second = found.fit(training=ONE_EPOCH), found.fit(training=TowerTraining(epochs=2))
    assert first.items.behaviour is second.items.behaviour
    assert (len(first.losses), len(second.losses)) == (1, 2)
    assert not np.array_equal(first.items.tower, second.items.tower)


def test_fitted_again_the_parts_are_those_of_a_fit_of_their_own() -> None:
    """The first tower leaves no trace in the second."""
    found = PartsFit(*world())
    found.fit(training=TowerTraining(epochs=2))
    again, alone = found.fit(training=ONE_EPOCH), fit_parts(*world(), training=ONE_EPOCH)
    np.testing.assert_array_equal(again.items.joined(), alone.items.joined())


@pytest.mark.parametrize(
    ("quick", "enough", "epochs"), [(10**9, 150, 20), (10**9, 151, 10), (1, 150, 10)], ids=["both", "few", "slow"]
)
def test_where_passes_are_quick_and_users_enough_there_are_more(
    quick: int, enough: int, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_thoroughly(monkeypatch)
    monkeypatch.setattr(module, "_QUICK", quick)
    monkeypatch.setattr(module, "_ENOUGH_USERS", enough)
    assert PartsFit(*world()).training.epochs == epochs


@pytest.mark.parametrize("texts", [False, True])
def test_only_ordered_rows_know_steps_back(*, texts: bool) -> None:
    """Texts of the world are of unordered rows."""
    facts = fit_parts(*world(texts=texts), training=ONE_EPOCH).side.tower.facts
    assert (facts.decay < 1, facts.slope > 0) == (not texts, not texts)
    assert facts.width == facts.members * facts.dim


def test_the_tower_is_no_wider_than_what_it_reads() -> None:
    interactions, features = world()
    text_dim = features.item_meaning().shape[1]
    parts = fit_parts(interactions, features, training=ONE_EPOCH)
    facts = parts.side.tower.facts
    assert text_dim - facts.heads < facts.dim <= text_dim
    assert parts.items.tower.shape == (features.n_items, facts.width)


def test_directions_in_which_most_items_are_alike_count_less_but_stay_first() -> None:
    """The zero-shot part's dimensions vary by the power .7 of what the texts' do."""
    interactions, features = world()
    found = fit_parts(interactions, features, training=ONE_EPOCH).items.zero_shot
    meaning = features.item_meaning()
    spread = np.linalg.eigvalsh(meaning.T.astype(np.float64) @ meaning)[::-1][: found.shape[1]]
    evened = (found.astype(np.float64) ** 2).sum(axis=0)
    clear = spread > 1e-3 * spread.max()
    exponent = np.polyfit(np.log(spread[clear]), np.log(evened[clear]), 1)[0]
    assert exponent == pytest.approx(0.7, abs=0.01)


def test_a_direction_that_no_item_has_is_not_blown_up() -> None:
    """Items to come may have it: it counts no more than one of a thousandth of the loudest one's spread."""
    interactions, features = world()
    flat = features.embeddings.copy()
    flat[:, 2:] = 0
    length = np.linalg.norm(fit_parts(interactions, replace(features, embeddings=flat)).side.projection, axis=0)
    assert length.max() <= 1000**0.15 + 1e-3
    assert length.min() == pytest.approx(1)
