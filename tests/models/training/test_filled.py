"""Tables filled up to few heights."""

import pytest
import torch

from models.training.filled import MULTIPLE, filled


@pytest.mark.parametrize(("n", "height"), [(0, 0), (1, 5), (5, 5), (6, 10)])
def test_zeros_come_behind(n: int, height: int) -> None:
    rows = torch.randn(n, 3)
    found = filled(rows, 5)
    assert found.shape == (height, 3)
    assert torch.equal(found[:n], rows)
    assert not found[n:].any()


def test_row_numbers_stay_what_they_are() -> None:
    found = filled(torch.tensor([7, 3]))
    assert found.dtype == torch.int64
    assert found.tolist() == [7, 3, *[0] * (MULTIPLE - 2)]
