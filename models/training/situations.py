"""By what validation cases each situation's weights are chosen."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.fused import FEW_WORDS
from models.training.features import Features
from models.training.part_scores import n_words
from models.training.split import Case, Task

ENOUGH = 100
"""Cases that say something of a situation; with so many short texts, users alone say what a short text asks for."""
_NO_ROWS = np.empty(0, np.int64)


def by_situation(by_task: Mapping[Task, Sequence[Case]], features: Features) -> dict[str, list[Case]]:
    """Returns the cases of each situation; situations without any are left out.

    Where users write few short texts, a query is judged by two things that it could mean, half each: it describes the
    item, as words of the catalogue do, or it describes the user, as the longer texts do.

    Args:
        by_task: Validation cases.
        features: Of their texts, and of the queries.
    """
    texts = by_task.get("text", ())
    short = [case for case in texts if n_words(case, features) < FEW_WORDS]
    long = [case for case in texts if n_words(case, features) >= FEW_WORDS]
    queries = queries_of(features)
    if len(short) >= ENOUGH:
        queries = short
    elif texts:
        half = min(len(queries), len(texts))
        queries = [*queries[:half], *texts[:half]]
    found = {"history": list(by_task.get("history", ())), "text": long, "query": queries}
    return {situation: cases for situation, cases in found.items() if cases}


def queries_of(features: Features) -> list[Case]:
    """Returns a case for each query: it asks for the item whose words it is."""
    return [
        Case(user=-1, task="text", history=_NO_ROWS, texts=(text,), targets=np.array([row]), is_new_user=True)
        for text, row in features.queries.items()
    ]
