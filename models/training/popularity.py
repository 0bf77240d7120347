"""How popular items are: ever, and how much more lately than ever."""

from collections.abc import Mapping

import numpy as np

from models.training.interactions import Interactions
from models.training.split import holdout_of, select
from models.types import Mask, Vector

WINDOWS = (0.1, 0.2, 0.05, 0.02)
"""Shares of the past, by events, that may count as lately; the likeliest first."""
TREND = "trend"
"""Among validation's figures: the share of the past that counts as lately, 0 where none does; with a clock only."""


def standard_popularity(popularity: Vector) -> Vector:
    """Returns standardised log popularity, shape `(n_items,)`; an item without users counts as an average one.

    Args:
        popularity: How many distinct users consumed each item, shape `(n_items,)`.
    """
    return _standardised(np.log1p(popularity), popularity > 0)


def fit_trends(past: Interactions, n_items: int) -> Mapping[float, Vector]:
    """Returns by window what being consumed lately adds to standardised log popularity, each of shape `(n_items,)`.

    The users of the window are counted as if they were as many as all users, and the mean of both counts takes the
    place of all users: what is in season comes up, and what is over goes down. An item without users counts as an
    average one.

    Args:
        past: What may be fitted on; without a clock nothing is known of lately, and there is no window.
        n_items: Of the catalogue.
    """
    if past.times is None or holdout_of(past) != "clock":
        return {}
    ever = past.popularity(n_items)
    warm, standard = ever > 0, standard_popularity(ever)
    trends = {}
    for window in WINDOWS:
        lately = select(past, past.times >= np.quantile(past.times, 1 - window)).popularity(n_items)
        both = (ever + lately * (ever.sum() / lately.sum())) / 2
        trends[window] = _standardised(np.log1p(both), warm) - standard
    return trends


def _standardised(values: Vector, warm: Mask) -> Vector:
    """Returns deviations over the warm items; 0 for the others, and for all where they are equal."""
    if not warm.any() or values[warm].std() == 0:
        return np.zeros(len(values), np.float32)
    return np.where(warm, (values - values[warm].mean()) / values[warm].std(), 0).astype(np.float32)
