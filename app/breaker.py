"""A circuit breaker: after some failures in a row it refuses, but for one attempt every few seconds.

Only touched from the event loop. It knows neither Redis nor time-outs: an attempt that raises an `Exception`
failed, one that is cancelled says nothing about the other side.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class BreakerOpenError(Exception):
    """The last attempts failed, so this one was refused without being made."""


class Breaker:
    """Counts failures in a row and refuses attempts from `failures` of them on.

    While it refuses, one attempt every `retry_seconds` goes through as a probe, never two at once unless a
    probe lasts longer than that; the first attempt that succeeds ends the refusing.

    Args:
        failures: Failures in a row, at least 1, that open the breaker.
        retry_seconds: Seconds from the last failure, or the last probe, to the next probe.
        clock: Monotonic seconds.
    """

    def __init__(self, failures: int, retry_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._in_a_row = 0
        self._next_probe = 0.0

    @property
    def failing(self) -> bool:
        """The newest attempt that ended failed."""
        return self._in_a_row > 0

    @property
    def is_open(self) -> bool:
        """Attempts are refused, but for probes."""
        return self._in_a_row >= self._limit

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Lets the body run and counts how it ends.

        Raises:
            BreakerOpenError: The body was not run.
        """
        if self.is_open:
            now = self._clock()
            if now < self._next_probe:
                raise BreakerOpenError
            # Claimed before the probe is made, so that those who come meanwhile are refused.
            self._next_probe = now + self._retry_seconds
        try:
            yield
        except Exception:
            self._in_a_row += 1
            self._next_probe = self._clock() + self._retry_seconds
            raise
        self._in_a_row = 0
