"""Jobs of the compiled library's threads, awaited on the event loop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from models.native.library import LIBRARY
from models.native.threads import NativeThreads, Work

_T = TypeVar("_T")


class NativeJobs:
    """Has work done by threads that need no interpreter; only touched from the event loop that runs when it is made.

    Args:
        threads: How much is done at a time.
    """

    def __init__(self, threads: int) -> None:
        self._threads = NativeThreads(threads)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, tuple[Work[Any], asyncio.Future[Any]]] = {}
        self._loop.add_reader(self._threads.bell, self._land)

    @property
    def n_threads(self) -> int:
        """How much can be done at a time."""
        return self._threads.n

    def send(self, work: Work[_T], parts: int = 1) -> asyncio.Future[_T]:
        """Returns the result to come of some work, which is done as soon as a thread is free, even if nobody waits.

        Args:
            work: The work.
            parts: How many threads do it at the same time; it is done when the first of them is.
        """
        done: asyncio.Future[_T] = self._loop.create_future()
        for _ in range(parts):
            self._waiting[self._threads.send(work.job)] = work, done
        return done

    def close(self) -> None:
        """Waits for what has begun; what hasn't is never done."""
        self._loop.remove_reader(self._threads.bell)
        self._threads.close()
        for _, done in self._waiting.values():
            done.cancel()

    def _land(self) -> None:
        for number in self._threads.done():
            work, done = self._waiting.pop(number)
            if done.done():  # given up, or another thread had a part in it
                continue
            try:
                done.set_result(work.result())
            except Exception as error:  # whatever went wrong is for whoever waits
                done.set_exception(error)


@contextmanager
def native_jobs(threads: int) -> Iterator[NativeJobs | None]:
    """Yields the library's threads, so many, for as long as the block runs; None where there is no library."""
    jobs = None if LIBRARY is None else NativeJobs(threads)
    try:
        yield jobs
    finally:
        if jobs is not None:
            jobs.close()
