"""The library's own threads: every job is done once and named once, whatever comes when."""

import os
import select
import time
from pathlib import Path

import pytest

from models.native.find import Find
from models.native.library import LIBRARY
from models.native.threads import NativeThreads
from tests.models.native.test_find import many
from tests.models.test_fused import random

PATIENCE = 20.0  # seconds


def some(n: int = 1) -> list[Find]:
    compared = many().index.compared(200, None)
    assert compared is not None
    return [Find(compared, random(seed, many().item_vectors.shape[1]), None) for seed in range(n)]


def collect(threads: NativeThreads, n: int) -> list[int]:
    """Waits for the bell until n are done."""
    numbers: list[int] = []
    until = time.monotonic() + PATIENCE
    while len(numbers) < n:
        assert time.monotonic() < until
        if select.select([threads.bell], [], [], 1)[0]:
            numbers += threads.done()
    return numbers


@pytest.mark.parametrize("n", [1, 3])
def test_each_job_is_done_and_named_once(n: int) -> None:
    threads, jobs = NativeThreads(n), some(700)
    numbers = [threads.send(job.job) for job in jobs]
    assert sorted(collect(threads, len(jobs))) == sorted(numbers)
    assert all(job.has_begun and not job.is_late for job in jobs)
    assert not select.select([threads.bell], [], [], 0.05)[0]
    threads.close()


def test_they_find_what_this_thread_finds() -> None:
    threads, jobs, own = NativeThreads(2), some(50), some(50)
    for one, other in zip(jobs, own, strict=True):
        threads.send(one.job)
        LIBRARY.recall_find(other.job.struct)
    collect(threads, 50)
    threads.close()
    assert [job.pool[0].tolist() for job in jobs] == [job.pool[0].tolist() for job in own]


def test_they_wait_their_turn_where_all_cores_are_busy() -> None:
    tasks = Path("/proc/self/task")
    before = {task.name for task in tasks.iterdir()}
    threads = NativeThreads(1)
    threads.send(some()[0].job)
    collect(threads, 1)
    (thread,) = {task.name for task in tasks.iterdir()} - before
    assert os.sched_getscheduler(int(thread)) == os.SCHED_BATCH
    threads.close()


def test_the_bell_rings_again_for_what_comes_later() -> None:
    threads = NativeThreads(1)
    for job in some(3):
        number = threads.send(job.job)
        assert collect(threads, 1) == [number]
    threads.close()


def test_who_closes_waits_for_what_has_begun_and_no_longer() -> None:
    threads, jobs = NativeThreads(1), some(2_000)
    for job in jobs:
        threads.send(job.job)
    threads.close()
    assert not all(job.has_begun for job in jobs)
    begun = [job for job in jobs if job.has_begun]
    assert all(len(job.pool[0]) == 200 for job in begun)


def test_without_a_thread_there_are_none() -> None:
    with pytest.raises(OSError, match="none of 0 threads"):
        NativeThreads(0)


def test_what_a_job_points_to_stays_as_long_as_it_is_needed() -> None:
    """Nobody else keeps these."""
    threads = NativeThreads(2)
    for _ in range(300):
        threads.send(some()[0].job)
    collect(threads, 300)
    assert not threads._jobs
    threads.close()


def test_what_comes_after_the_end_is_refused() -> None:
    threads = NativeThreads(1)
    threads.close()
    with pytest.raises(RuntimeError, match="closed"):
        threads.send(some()[0].job)
