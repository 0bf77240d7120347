import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.matching import DecayedMean, UserEmbeddings
from models.types import Vector

X, Y, Z = np.eye(3, dtype=np.float32)


def user(texts: list[Vector] = (), history: list[Vector] = (), weights: list[float] | None = None) -> UserEmbeddings:
    weights = [1.0] * len(history) if weights is None else weights
    return UserEmbeddings(
        np.array(texts, np.float32).reshape(-1, 3),
        np.array(history, np.float32).reshape(-1, 3),
        np.array(weights, np.float32),
    )


def unit(*values: float) -> Vector:
    vector = np.array(values, np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (user([X]), unit(1, 0, 0)),
        (user([X, Y]), unit(0.7, 1, 0)),
        (user([Y, X]), unit(1, 0.7, 0)),
        (user([X, Y, Z]), unit(0.49, 0.7, 1)),
        (user(history=[X, Y]), unit(0.7, 1, 0)),
        (user(history=[X, Y], weights=[2, 0.5]), unit(1.4, 0.5, 0)),
        (user(history=[X, Y], weights=[0, 1]), unit(0, 1, 0)),
        (user([X], [Y, Z]), unit(1, 0.7, 1)),
        (user([X, X], [X]), unit(1, 0, 0)),
        (user([X], [Y], weights=[0]), unit(1, 0, 0)),
    ],
)
def test_the_user_vector_is_the_decayed_mean_worked_by_hand(known: UserEmbeddings, expected: Vector) -> None:
    vector = DecayedMean().user_vector(known)
    assert vector is not None
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_decay_is_a_parameter_and_one_forgets_nothing() -> None:
    np.testing.assert_allclose(DecayedMean(decay=0.5).user_vector(user([X, Y, Z])), unit(0.25, 0.5, 1), atol=1e-6)
    np.testing.assert_allclose(DecayedMean(decay=1).user_vector(user([X, Y])), unit(1, 1, 0), atol=1e-6)


@pytest.mark.parametrize(
    "known",
    [
        user(),
        user(history=[X, Y], weights=[0, 0]),
        user([X, X], [X], weights=[-1.7]),
        user([np.zeros(3, np.float32)]),
        user(history=[X], weights=[float("nan")]),
    ],
    ids=["nothing", "zero weights", "cancelled out", "a zero vector", "nan"],
)
def test_nothing_usable_is_none(known: UserEmbeddings) -> None:
    assert DecayedMean().user_vector(known) is None


def test_a_long_history_ends_in_its_newest_items() -> None:
    """0.7 to the 5,000th is no float32: it must become zero without a warning."""
    vector = DecayedMean().user_vector(user(history=[X] * 4_990 + [Y] * 10))
    assert vector is not None
    np.testing.assert_allclose(np.linalg.norm(vector), 1, atol=1e-6)
    assert vector[1] > 0.99


@given(st.lists(st.integers(0, 2), min_size=1, max_size=8))
def test_the_vector_is_unit_and_only_the_order_within_a_part_matters(history: list[int]) -> None:
    axes = [X, Y, Z]
    one = DecayedMean().user_vector(user([Z], [axes[i] for i in history]))
    assert one is not None
    np.testing.assert_allclose(np.linalg.norm(one), 1, atol=1e-6)
    turned = DecayedMean().user_vector(user([Z], [axes[i] for i in reversed(history)]))
    same = history == history[::-1]
    assert np.allclose(one, turned, atol=1e-6) == same


@pytest.mark.parametrize("decay", [0, -0.1, 1.01, float("nan"), "x"])
def test_a_decay_outside_its_range_is_refused(decay: object) -> None:
    with pytest.raises(ValidationError):
        DecayedMean.model_validate({"decay": decay})
    with pytest.raises(ValidationError):
        DecayedMean.model_validate({"kind": "mean"})
