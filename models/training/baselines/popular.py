"""What most users consume: of all time, and lately. The same answer for everybody."""

from collections.abc import Sequence

import numpy as np

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


def _for_everybody(scores: Vector) -> Scores:
    def compute(cases: Sequence[Case], decay: float) -> Matrix:
        return np.tile(scores.astype(np.float32), (len(cases), 1))

    return compute
