"""One builder at a time: `build`, `nightly`, `evaluate` and `activate` share the lock of an artifacts folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from models.errors import BuildLockedError


@contextmanager
def builder_lock(root: Path) -> Iterator[None]:
    """Keeps two builders of one artifacts folder apart; the system frees the lock of a killed one.

    Raises:
        BuildLockedError: Another one is at work.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".lock", timeout=0):
            yield
    except Timeout:
        raise BuildLockedError(f"another builder is at work in {root}; wait for it to end") from None
