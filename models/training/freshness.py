"""How much likelier than by chance an item is consumed for being new, by what happened in the past.

An event's item has a rank by age among the items that existed then: the share of them that were newer. If age told
nothing, these shares would be even. So of each band of shares (the newest hundredth, …) the log of how many times as
many events fell into it as its width says is what an item of that age is worth now. Ranks need no unit of time, and
hold for catalogues that grow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.interactions import Interactions
from models.training.split import holdout_of
from models.types import Vector

_BANDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Where they end; none is narrower than a hundredth, so that a handful of items doesn't get everything."""
_PRIOR_EVENTS = 20.0
# Of a clock that isn't the items' own, half of the events would come before their item.
_MOST_TOO_EARLY = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Freshness:
    """What the age of items is worth, in deviations over the catalogue.

    Attributes:
        items: Shape `(n_items,)`; 0 where a time is missing.
        newest: What an item to come is worth.
    """

    items: Vector
    newest: float


def fit_freshness(item_times: NDArray[np.float64] | None, past: Interactions) -> Freshness | None:
    """Returns what ages are worth at the end of the past; None where times say nothing.

    Args:
        item_times: When each item came to be, on the clock of the interactions, shape `(n_items,)`; NaN where that
            isn't known. Items from after the past count as its newest.
        past: What may be fitted on.
    """
    if item_times is None or past.times is None or holdout_of(past) != "clock":
        return None
    came, events = item_times[past.items], past.times
    known = np.isfinite(came)
    if not known.any() or (came[known] > events[known]).mean() > _MOST_TOO_EARLY:
        return None
    shares = _newer(item_times, came[known], events[known])
    widths = np.diff((0.0, *_BANDS))
    counts = np.bincount(_band(shares), minlength=len(widths))
    worth = np.log((counts + _PRIOR_EVENTS * widths) / (len(shares) + _PRIOR_EVENTS) / widths)
    there = np.isfinite(item_times)
    now = np.full(int(there.sum()), events.max())
    values = np.zeros(len(item_times))
    values[there] = worth[_band(_newer(item_times, item_times[there], now))]
    mean, deviation = values[there].mean(), values[there].std()
    if np.ptp(values[there]) == 0:
        return None
    standard = np.where(there, (values - mean) / deviation, 0).astype(np.float32)
    return Freshness(standard, float((worth[0] - mean) / deviation))


def _newer(item_times: NDArray[np.float64], came: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns which share of the items that existed at some moments were newer than others, shape `(n,)`."""
    ordered = np.sort(item_times[np.isfinite(item_times)])
    existed = np.searchsorted(ordered, at, side="right")
    older = np.searchsorted(ordered, came, side="right")
    newer: NDArray[np.float64] = np.maximum(existed - older, 0) / np.maximum(existed, 1)
    return newer


def _band(shares: NDArray[np.float64]) -> NDArray[np.intp]:
    band: NDArray[np.intp] = np.searchsorted(_BANDS, shares, side="right").clip(max=len(_BANDS) - 1)
    return band
