"""What most users consume, of all time and lately, and what is new. The same answer for everybody."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.training.baselines.base import Kind, Scores, Setting
from models.training.encodings import Encodings
from models.training.interactions import Interactions
from models.training.split import TASKS, Case, Task, holdout_of, select
from models.types import Matrix, Vector


class Popularity:
    """Distinct users of all time."""

    name = "popularity"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset(TASKS)
    settings: Sequence[Setting] = ({},)
    decays: tuple[float, ...] = (1.0,)

    def fits(self, past: Interactions) -> bool:
        """Returns True: any past has popular items."""
        return True

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns the counts, whoever asks."""
        return _for_everybody(past.popularity(encodings.n_items))


class RecentPopularity:
    """Distinct users in the newest slice of the past; all of the past orders what the slice leaves equal."""

    name = "popularity, recent"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset(TASKS)
    settings: Sequence[Setting] = tuple({"newest_share": share} for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4))
    decays: tuple[float, ...] = (1.0,)

    def fits(self, past: Interactions) -> bool:
        """Returns whether times are a clock: positions in a user's own sequence say nothing of when."""
        return holdout_of(past) == "clock"

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns the counts of the newest share of the events, whoever asks."""
        assert past.times is not None
        newest = past.times >= np.quantile(past.times, 1 - setting["newest_share"])
        recent = select(past, newest).popularity(encodings.n_items)
        ever = past.popularity(encodings.n_items)
        return _for_everybody(recent + ever / (ever.max() + 1))


class Newest:
    """The newest items first; those from after the past, which it can't tell apart, before all others.

    Args:
        item_times: When each item came to be, NaN where that isn't known, shape `(n_items,)`; None: of no item.
    """

    name = "newest items"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset(TASKS)
    settings: Sequence[Setting] = ({},)
    decays: tuple[float, ...] = (1.0,)

    def __init__(self, item_times: NDArray[np.float64] | None) -> None:
        self._item_times = item_times

    def fits(self, past: Interactions) -> bool:
        """Returns whether items have times, and the past a clock."""
        return self._item_times is not None and holdout_of(past) == "clock"

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns ranks by time as the past knows it, whoever asks."""
        assert self._item_times is not None
        assert past.times is not None
        known = np.nan_to_num(self._item_times, nan=-np.inf)
        return _for_everybody(rankdata(np.minimum(known, past.times.max())))


def _for_everybody(scores: Vector) -> Scores:
    def compute(cases: Sequence[Case], decay: float) -> Matrix:
        return np.tile(scores.astype(np.float32), (len(cases), 1))

    return compute
