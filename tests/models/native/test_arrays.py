"""Arrays as the compiled library reads them."""

import numpy as np
import pytest

from models.native.arrays import aligned, halves


@pytest.mark.parametrize("shape", [(1,), (5, 7), (130, 64)])
def test_memory_begins_where_a_cache_line_does(shape: tuple[int, ...]) -> None:
    zeros = aligned(shape, np.int8)

    assert zeros.ctypes.data % 64 == 0
    assert (zeros.shape, zeros.dtype) == (shape, np.int8)
    assert not zeros.any()


def test_weights_in_half_the_bytes_are_rounded() -> None:
    weights = np.array([[1 / 3, 1e-9], [-2, 60_000]], np.float32)

    np.testing.assert_array_equal(halves(weights), weights.astype(np.float16))
