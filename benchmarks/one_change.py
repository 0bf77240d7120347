"""What an ablation needs to change one thing for a while and to say what that did."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from models.training.metrics import PerUser


@contextmanager
def patched(constants: Sequence[tuple[object, str, object]]) -> Iterator[None]:
    """Puts values in the place of modules' own for a while."""
    before = [(module, name, getattr(module, name)) for module, name, _ in constants]
    try:
        for module, name, value in constants:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def difference(ours: PerUser, theirs: PerUser) -> str:
    """Returns the mean difference with its 95 % interval, normal over the cases."""
    gain = ours - theirs
    return f"{gain.mean():+.4f} ± {1.96 * gain.std() / np.sqrt(len(gain)):.4f}"
