"""The pools that a head is fitted on and judged by, each in the order of weights that its case had no part in choosing.

Weights are nearly always a little better for the cases that chose them than for others: beside an order so flattered,
a head that gains would seem to gain less than it does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.training.features import Features
from models.training.head import Pools, joined, make_pools
from models.training.part_scores import FittedParts
from models.training.split import Case, Task
from models.training.weigh import weigh


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
        features: Of their texts.
        decay: What a step back multiplies a weight by.
    """
    items, pools = parts.items.joined(), []
    for half in (0, 1):
        choosing = {task: [case for case in cases if _half(case) != half] for task, cases in by_task.items()}
        queries = {text: row for text, row in features.queries.items() if row % 2 != half}
        _, weights, _ = weigh(
            parts,
            {task: cases for task, cases in choosing.items() if cases},
            replace(features, queries=queries),
            (decay,),
        )
        asked = [case for case in judged if _half(case) == half]
        pools.append(make_pools(parts.matching(decay, weights), items, parts.words, asked, features))
    return joined(pools)


def _half(case: Case) -> int:
    """Returns which half a case belongs to: by its user, or, where a few words ask for their item, by that."""
    return int(case.user if case.user >= 0 else case.targets[0]) % 2
