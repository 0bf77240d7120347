"""The live artifact's rows are not tonight's: ids say which is which."""

from dataclasses import replace

import numpy as np

from index_builder.aligned import Aligned
from models.training.encodings import encodings_of
from models.training.served import Served
from models.training.split import Case
from tests.artifacts import memory_artifact, unit_rows

LIVE = memory_artifact(unit_rows(12, 8))
TEXTS = encodings_of(LIVE.embeddings, {"said": "said"}, unit_rows(1, 8, seed=1))


def case(history: list[int]) -> Case:
    return Case(0, "history", np.array(history, np.int64), ("said",), np.array([0]), is_new_user=False)


def test_rows_are_translated_both_ways() -> None:
    order = np.random.default_rng(0).permutation(12)  # tonight's row → the live one
    tonight = [LIVE.item_ids[row] for row in order]
    of_live = {int(row): number for number, row in enumerate(order)}
    (expected,) = Served(LIVE, TEXTS, rescore=True).rank([case([3, 7])], 5)
    (found,) = Aligned(LIVE, tonight, TEXTS).rank([case([of_live[3], of_live[7]])], 5)
    assert [int(order[row]) for row in found] == expected.tolist()


def test_what_is_barred_is_translated_too() -> None:
    tonight = list(reversed(LIVE.item_ids))
    barred = replace(case([0]), barred=np.array([1, 2]))
    (found,) = Aligned(LIVE, tonight, TEXTS).rank([barred], 12)
    assert sorted(found.tolist()) == [-1, -1, -1, *range(3, 12)]


def test_an_item_that_is_gone_takes_its_place_and_is_nobodys() -> None:
    (expected,) = Served(LIVE, TEXTS, rescore=True).rank([case([3])], 4)
    gone = int(expected[1])
    tonight = [item_id for row, item_id in enumerate(LIVE.item_ids) if row != gone]
    (found,) = Aligned(LIVE, tonight, TEXTS).rank([case([tonight.index(LIVE.item_ids[3])])], 4)
    assert found[1] == -1
    assert [tonight[row] for row in found[[0, 2, 3]]] == [LIVE.item_ids[row] for row in expected[[0, 2, 3]]]


def test_a_history_of_new_items_tells_the_live_artifact_nothing() -> None:
    tonight = [*LIVE.item_ids, "new"]
    (expected,) = Served(LIVE, TEXTS, rescore=True).rank([case([])], 12)
    (found,) = Aligned(LIVE, tonight, TEXTS).rank([case([12])], 12)
    assert found.tolist() == expected.tolist()
    (short,) = Aligned(LIVE, tonight, TEXTS).rank([case([12, 0])], 12)
    assert short[-1] == -1  # eleven are left
