"""Workers with their share of torch's threads."""

import threading

import pytest
import torch

from models.training.side_by_side import side_by_side


def test_each_worker_has_its_threads_and_the_caller_gets_its_own_back() -> None:
    before = torch.get_num_threads()
    both_run = threading.Barrier(2, timeout=30)

    def work(_: int) -> int:
        both_run.wait()
        return torch.get_num_threads()

    with side_by_side(2, 3) as workers:
        assert list(workers.map(work, range(2))) == [3, 3]
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_what_a_worker_raises_reaches_the_caller() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), side_by_side(1, 1) as workers:
        list(workers.map(lambda number: 1 // number, [0]))
    assert torch.get_num_threads() == before
