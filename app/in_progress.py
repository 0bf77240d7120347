"""How many requests are being answered: one alone may have all cores, one among many shares them."""

from collections.abc import Iterator
from contextlib import contextmanager


class InProgress:
    """Counts requests; only touched from one event loop."""

    def __init__(self) -> None:
        self._n = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Counts a request for as long as it is being answered."""
        self._n += 1
        try:
            yield
        finally:
            self._n -= 1

    @property
    def is_one(self) -> bool:
        """Whether there is one and no other."""
        return self._n == 1
