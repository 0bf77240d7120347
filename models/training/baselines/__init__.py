"""What the product has to beat: common ways of recall, fitted on the past only and tuned on a part of it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.training.baselines.base import Baseline
from models.training.baselines.factors import ImplicitAls
from models.training.baselines.linear import Ease, PlainL3ae
from models.training.baselines.neighbours import ItemNeighbours, TextNeighbours, UserNeighbours
from models.training.baselines.popular import Newest, Popularity, RecentPopularity
from models.training.baselines.texts import Bm25, ZeroShot


def all_baselines(
    item_texts: Sequence[str], user_texts: Mapping[str, str], item_times: NDArray[np.float64] | None = None
) -> list[Baseline]:
    """Returns every baseline, and plain L3AE, which is the strongest part of ours alone.

    Args:
        item_texts: Clean, in row order.
        user_texts: The clean form of each text that users wrote.
        item_times: When each item came to be, NaN where that isn't known, shape `(n_items,)`; None: of no item.
    """
    return [
        Popularity(),
        RecentPopularity(),
        Newest(item_times),
        Bm25(item_texts, user_texts),
        ItemNeighbours(),
        UserNeighbours(),
        TextNeighbours(),
        Ease(),
        ImplicitAls(),
        ZeroShot(),
        PlainL3ae(),
    ]
