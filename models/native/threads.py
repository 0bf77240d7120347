"""Threads of the library's own, for whatever needs no Python: they never wait for the interpreter, nor it for them."""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from models.native.arrays import pointer
from models.native.library import FFI, LIBRARY

_T_co = TypeVar("_T_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A function of the library and what it is called with.

    Attributes:
        function: Takes a pointer to a struct.
        struct: That struct.
        kept: Whatever it points to, which has to stay until the job is done.
    """

    function: Any  # cffi's functions and structs have no type
    struct: Any
    kept: object


class Work(Protocol[_T_co]):
    """Something to be done by a job, and what comes of it."""

    @property
    def job(self) -> Job:
        """What the threads are given."""

    def result(self) -> _T_co:
        """Returns what came of it; only asked once the job is done."""


class NativeThreads:
    """Does jobs; not thread-safe itself.

    Args:
        n: How many at a time.

    Attributes:
        bell: A file descriptor that can be read when something is done.
        n: How many at a time.

    Raises:
        OSError: The system gives no thread.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.bell, self._rung = os.pipe()
        for end in (self.bell, self._rung):
            os.set_blocking(end, False)
        self._native = LIBRARY.recall_start_threads(n, self._rung)
        if self._native == FFI.NULL:
            os.close(self.bell)
            os.close(self._rung)
            raise OSError(f"the system gives none of {n} threads; look at its limits (ulimit -u)")
        self._jobs: dict[int, tuple[Job, Any]] = {}
        self._number = 0

    def send(self, job: Job) -> int:
        """Has a job done as soon as a thread is free; returns the number by which `done` will name it.

        Raises:
            RuntimeError: They are closed.
        """
        if self._native is None:
            raise RuntimeError("the library's threads are closed, nothing can be sent to them any more")
        self._number += 1
        native = FFI.new("Job *")
        native.run, native.what = FFI.cast("void (*)(void *)", job.function), job.struct
        native.number = self._number
        self._jobs[self._number] = job, native
        LIBRARY.recall_send(self._native, native)
        return self._number

    def done(self) -> list[int]:
        """Returns the numbers of jobs done since it was asked last; to be called whenever `bell` can be read."""
        with suppress(BlockingIOError):  # somebody was here before
            os.read(self.bell, 1)
        # All at once: who asked again might get what the bell has been rung for meanwhile, and it would ring in vain.
        numbers = np.empty(len(self._jobs), np.int64)
        found: list[int] = numbers[: LIBRARY.recall_done(self._native, pointer(numbers), len(numbers))].tolist()
        for number in found:
            del self._jobs[number]
        return found

    def close(self) -> None:
        """Waits for what has begun; what hasn't is never done."""
        LIBRARY.recall_stop_threads(self._native)
        self._native = None
        os.close(self.bell)
        os.close(self._rung)
        self._jobs.clear()
