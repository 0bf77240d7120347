"""Arrays as the compiled library reads them."""

import numpy as np
import pytest

from models.native.arrays import aligned, halves


@pytest.mark.parametrize("shape", [(0, 3), (1,), (5, 7), (130, 64)])
def test_a_copy_begins_where_a_cache_line_does(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)

    copy = aligned(values, np.uint8)

    assert copy.ctypes.data % 64 == 0
    assert copy.dtype == np.uint8
    np.testing.assert_array_equal(copy, values.astype(np.uint8))


def test_weights_in_half_the_bytes_are_rounded() -> None:
    weights = np.array([[1 / 3, 1e-9], [-2, 60_000]], np.float32)

    np.testing.assert_array_equal(halves(weights), weights.astype(np.float16))
