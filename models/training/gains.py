"""What counts as a gain of one way over another on the same cases: more than chance moves, everywhere alike."""

import numpy as np

from models.training.metrics import PerUser

_LEAST_GAIN = 0.0005


def is_gain(gain: PerUser, errors: float = 1) -> bool:
    """Returns whether the mean of paired differences is above 0 by more than so many of its standard errors.

    Args:
        gain: Of each case, shape `(n_cases,)`.
        errors: One where a mean over draws or what many cases chose is judged; two where few cases did, or the best
            of several choices is held against doing without.
    """
    return bool(gain.mean() > max(errors * standard_error(gain), _LEAST_GAIN))


def is_loss(gain: PerUser, errors: float) -> bool:
    """Returns whether it is below 0 by more than so many of its standard errors."""
    return bool(gain.mean() < -errors * standard_error(gain))


def standard_error(gain: PerUser) -> float:
    """Returns that of the mean; one case says nothing of it."""
    return float(gain.std() / np.sqrt(len(gain))) if len(gain) > 1 else np.inf
