"""An artifact of another catalogue as a ranker of tonight's cases: rows are translated by item id, both ways."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.artifact import Artifact
from models.training.encodings import Encodings
from models.training.served import Served
from models.training.split import Case
from models.types import Rows


class Aligned:
    """Ranks tonight's cases through the live artifact.

    Args:
        live: What ranks.
        item_ids: Tonight's items, in row order.
        encodings: Of the cases' texts, by the live artifact's own encoder and recipe.
    """

    def __init__(self, live: Artifact, item_ids: Sequence[str], encodings: Encodings) -> None:
        self._served = Served(live, encodings, rescore=True)
        self._to_live = np.array([live.rows.get(item_id, -1) for item_id in item_ids], np.int64)
        # The last entry stands for -1: a place that is empty.
        self._to_new = np.full(len(live.item_ids) + 1, -1, np.int64)
        known = np.flatnonzero(self._to_live >= 0)
        self._to_new[self._to_live[known]] = known

    def rank(self, cases: Sequence[Case], k: int) -> Rows:
        """Returns the k candidates of each case, shape `(n_cases, k)`; -1 is an item that is gone, or no item."""
        found = self._served.rank([self._translated(case) for case in cases], k)
        return self._to_new[found]

    def _translated(self, case: Case) -> Case:
        history, barred = self._to_live[case.history], self._to_live[case.barred]
        return replace(case, history=history[history >= 0], barred=barred[barred >= 0])
