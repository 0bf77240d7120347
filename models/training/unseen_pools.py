"""The pools that a head is fitted on and judged by, each in the order of weights that its case had no part in choosing.

Weights are nearly always a little better for the cases that chose them than for others: beside an order so flattered,
a head that gains would seem to gain less than it does. (Half the cases choose a little worse than all, which ship: what
is left of the bias favours the head.)
"""

from collections.abc import Mapping, Sequence

from models.training.features import Features
from models.training.head import Pools, joined, make_pools
from models.training.part_scores import FittedParts
from models.training.situations import by_situation
from models.training.split import Case, Task
from models.training.weigh import weigh_situations


def unseen_pools(
    parts: FittedParts,
    by_task: Mapping[Task, Sequence[Case]],
    judged: Sequence[Case],
    features: Features,
    decay: float,
) -> Pools:
    """Returns the pools of cases, each half of them by weights that the other half chooses.

    Args:
        parts: Fitted on what was before the cases.
        by_task: Cases that choose weights; the queries do, too.
        judged: Whose pools are made.
        features: Of their texts, and of the queries.
        decay: What a step back multiplies a weight by.
    """
    items, by, pools = parts.items.joined(), by_situation(by_task, features), list[Pools]()
    for half in (0, 1):
        others = {situation: [case for case in cases if _half(case) != half] for situation, cases in by.items()}
        choosing = {situation: cases for situation, cases in others.items() if cases}
        weights, _ = weigh_situations(parts, choosing, features, decay)
        asked = [case for case in judged if _half(case) == half]
        pools.append(make_pools(parts.matching(decay, weights), items, parts.words, asked, features))
    return joined(pools)


def _half(case: Case) -> int:
    """Returns which half a case belongs to: by its user, or, where a few words ask for their item, by that."""
    return int(case.user if case.user >= 0 else case.targets[0]) % 2
