"""A few rows times a matrix: the same as all at once."""

import numpy as np
import pytest

from models.few_rows import product
from tests.models.test_fused import random


@pytest.mark.parametrize("n", range(7))
@pytest.mark.parametrize("members", [(), (3,)])
def test_it_is_the_product(n: int, members: tuple[int, ...]) -> None:
    rows, matrix = random(0, *members, n, 5), random(1, *members, 5, 4)
    found = product(rows, matrix)
    np.testing.assert_allclose(found, rows @ matrix, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32


def test_rows_meet_the_matrix_of_each_member() -> None:
    rows, matrix = random(0, 2, 5), random(1, 3, 5, 4)
    np.testing.assert_allclose(product(rows, matrix), rows @ matrix, rtol=1e-5, atol=1e-6)
