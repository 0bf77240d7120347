"""The pools that a head is fitted on and judged by, each in the order of weights that its case had no part in choosing.

Weights are nearly always a little better for the cases that chose them than for others: beside an order so flattered,
a head that gains would seem to gain less than it does. (Half the cases choose a little worse than all, which ship: what
is left of the bias favours the head.)
"""

from collections.abc import Sequence

from models.training.features import Features
from models.training.head import Pools, joined, make_pools
from models.training.part_scores import FittedParts
from models.training.split import Case
from models.training.weigh import Weighed, half_of


def unseen_pools(
    parts: FittedParts, weighed: Weighed, judged: Sequence[Case], features: Features, decay: float
) -> Pools:
    """Returns the pools of cases, each half of them by weights that the other half chose.

    Args:
        parts: Fitted on what was before the cases.
        weighed: What the cases chose.
        judged: Whose pools are made.
        features: Of their texts.
        decay: What a step back in texts or history multiplies a weight by.
    """
    items, pools = parts.items.joined(), list[Pools]()
    for half, weights in enumerate(weighed.unseen):
        asked = [case for case in judged if half_of(case) == half]
        pools.append(make_pools(parts.matching(decay, weights), items, parts.words, asked, features))
    return joined(pools)
