"""New items from their text alone: each part as stated."""

from dataclasses import replace

import numpy as np

from tests.models.test_fused import TEXT_DIM, TOWER, learnt, random


def test_where_new_items_are_wanted_they_count_as_popular() -> None:
    side = replace(learnt().item_side, popularity=1.5)
    assert side.parts(random(30, 3, TEXT_DIM + TOWER + 1)).popularity.tolist() == [[1.5]] * 3


def test_each_part_comes_from_the_text() -> None:
    side = learnt().item_side
    texts = random(30, 3, TEXT_DIM + TOWER + 1)
    meaning, words = texts[:, :TEXT_DIM], texts[:, TEXT_DIM:-1]
    parts = side.parts(texts)
    np.testing.assert_allclose(parts.zero_shot, meaning @ side.projection, rtol=1e-5)
    np.testing.assert_allclose(parts.behaviour, meaning @ side.behaviour, rtol=1e-5)
    np.testing.assert_allclose(parts.tower, side.tower.items(meaning, words), rtol=1e-5)
    assert not parts.popularity.any()
    assert parts.joined().shape == (3, learnt().item_vectors.shape[1])
    np.testing.assert_allclose(side.history_factors(texts), meaning @ side.history, rtol=1e-5)
