"""What counts as a gain: more than chance moves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.training.gains import is_gain, is_loss, standard_error

NOISE = np.tile([0.1, -0.1], 50)  # deviation .1, 100 cases: a standard error of .01


def test_the_standard_error_is_the_deviation_by_the_root_of_the_cases() -> None:
    assert standard_error(NOISE + 3) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("mean", "errors", "expected"),
    [(0.009, 1, False), (0.011, 1, True), (0.019, 2, False), (0.021, 2, True), (-0.5, 1, False)],
)
def test_a_gain_is_more_than_so_many_errors(mean: float, errors: float, *, expected: bool) -> None:
    assert is_gain(NOISE + mean, errors) is expected


@pytest.mark.parametrize(("mean", "expected"), [(-0.019, False), (-0.021, True), (0.5, False)])
def test_a_loss_is_more_than_so_many_errors(mean: float, *, expected: bool) -> None:
    assert is_loss(NOISE + mean, 2) is expected


def test_what_is_the_same_everywhere_still_has_to_matter() -> None:
    """A case more among thousands has no error to speak of when all gain alike."""
    assert not is_gain(np.full(100, 0.0004))
    assert is_gain(np.full(100, 0.0006))


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(-1, 1)))
def test_nothing_is_both(gain: np.ndarray) -> None:
    assert not (is_gain(gain) and is_loss(gain, 1))
