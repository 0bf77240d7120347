"""Progress of long steps: a bar on a terminal, a plain line each tenth elsewhere. Knows nothing of the work."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes how many more are done; writes to stderr."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda n: bar.advance(task, n)
    else:
        yield _Lines(what, total).advance


class _Lines:
    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._done = self._tenth = 0

    def advance(self, n: int) -> None:
        self._done += n
        tenth = 10 * self._done // max(self._total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            sys.stderr.write(f"{self._what}: {self._done}/{self._total}\n")
            sys.stderr.flush()


def say_learning(what: str) -> None:
    """Writes a line on what is being learnt to stderr."""
    sys.stderr.write(f"learning: {what}\n")
    sys.stderr.flush()
