"""How much likelier than by chance an item is consumed for being new, by what happened in the past.

An event's item has a rank by age among the items that existed then: the share of them that were newer. If age told
nothing, events would fall into each band of shares (the newest hundredth, …) as often as existing items do. The log of
how many times as often they do is what an item of that age is worth now. Ranks need no unit of time, and hold for
catalogues that grow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.interactions import Interactions
from models.training.split import holdout_of
from models.types import Vector

_BANDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Where they end; none is narrower than a hundredth, so that a handful of items doesn't get everything."""
FRESHNESS = "freshness"
"""Among validation's figures: how much the age of items counts; only where their times say something."""

_PRIOR_EVENTS = 20.0
_MOST_TOO_EARLY = 0.2
_DAY = 86_400.0
_NEAR_ZERO = 1e-9


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
    if item_times is None or past.times is None or clock_problem(item_times, past) is not None:
        return None
    times = _as_coarse(item_times, past.times)
    there = np.isfinite(times)
    ordered = np.sort(times[there])
    known = there[past.items]
    at = past.times[known]
    counts = np.bincount(_band(_newer(ordered, times[past.items[known]], at)), minlength=len(_BANDS))
    chance = _shares_by_chance(ordered, at)
    often = (counts + _PRIOR_EVENTS * chance) / (known.sum() + _PRIOR_EVENTS)
    worth = np.log(np.divide(often, chance, out=np.ones(len(_BANDS)), where=chance > 0))
    now = np.full(len(ordered), past.times.max())
    values = worth[_band(_newer(ordered, times[there], now))]
    if np.ptp(values) < _NEAR_ZERO:
        return None
    standard = np.zeros(len(times), np.float32)
    standard[there] = (values - values.mean()) / values.std()
    return Freshness(standard, float((worth[0] - values.mean()) / values.std()))


def clock_problem(item_times: NDArray[np.float64], interactions: Interactions) -> str | None:
    """Returns why nothing can be learnt from ages, None where something can.

    Args:
        item_times: When each item came to be, shape `(n_items,)`; NaN where that isn't known.
        interactions: What it would be learnt from.
    """
    if interactions.times is None or holdout_of(interactions) != "clock":
        return "the interactions have no times of a clock"
    times = _as_coarse(item_times, interactions.times)
    there = np.isfinite(times)
    came, at = times[interactions.items], interactions.times
    if not there[interactions.items].any():
        return "no item that was consumed has a time"
    early = float((came > at)[np.isfinite(came)].mean())
    if early > _MOST_TOO_EARLY:
        return f"{early:.0%} of the interactions come before their item; both times must be in one unit"
    if not ((times[there] > at.min()) & (times[there] <= at.max())).any():
        return "no item came while the interactions happened; both times must be in one unit"
    return None


def _as_coarse(item_times: NDArray[np.float64], events: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the items' times, whole days where those of the events are: else a day's events came before its items."""
    whole: NDArray[np.float64] = np.floor(item_times / _DAY) * _DAY
    return whole if not (events % _DAY).any() else item_times


def _newer(ordered: NDArray[np.float64], came: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns which share of the items that existed at some moments were newer than others, shape `(n,)`.

    Args:
        ordered: Times of all items, sorted.
        came: Of the items in question, shape `(n,)`.
        at: The moments, shape `(n,)`.
    """
    existed = np.searchsorted(ordered, at, side="right")
    older = np.searchsorted(ordered, came, side="right")
    newer: NDArray[np.float64] = np.maximum(existed - older, 0) / np.maximum(existed, 1)
    return newer


def _shares_by_chance(ordered: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns which share of the items that existed, on average over some moments, was in each band."""
    upto = np.searchsorted(ordered, ordered, side="right")  # of items that came at one time none is newer
    moments, n = np.unique(at, return_counts=True)
    existed = np.maximum(np.searchsorted(ordered, moments, side="right"), 1)
    below = np.zeros(len(moments))
    shares = np.empty(len(_BANDS))
    for band, edge in enumerate(_BANDS):
        beyond = np.searchsorted(upto, existed * (1 - edge) + 1e-9, side="right")
        within = (existed - np.minimum(beyond, existed)) / existed
        shares[band] = np.average(within - below, weights=n)
        below = within
    return shares


def _band(shares: NDArray[np.float64]) -> NDArray[np.intp]:
    band: NDArray[np.intp] = np.searchsorted(_BANDS, shares, side="right").clip(max=len(_BANDS) - 1)
    return band
