"""Fits that go on side by side, each on its share of the cores: small ones gain little from sharing each product."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def side_by_side(at_once: int, threads: int) -> Iterator[Executor]:
    """Yields workers; leaves to the caller, afterwards, as many of torch's threads as before.

    Args:
        at_once: Workers.
        threads: Of torch, for each worker.
    """
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)  # the caller may compute between two fits
        with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads,)) as workers:
            yield workers
    finally:
        torch.set_num_threads(before)
