"""SASRec gets the past and the questions of the evaluation, and its lists are judged like any other."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.sasrec import product_rows, rows, write_events
from models.errors import DataError
from models.training.evaluation import DataFacts, Evaluation, RankerResult, TaskResult
from models.training.judge import CUTOFFS
from models.training.split import Case, split
from tests.models.training.worlds import World


def case(history: list[int], targets: list[int]) -> Case:
    return Case(0, "history", np.array(history), (), np.array(targets), is_new_user=False)


def test_what_is_written_is_the_past_and_the_questions(tmp_path: Path) -> None:
    held_out = split(World(clock=False).interactions)
    cases = [case for case in held_out.cases if case.task == "history"]
    write_events(tmp_path / "test.npz", held_out.past, cases)
    written = np.load(tmp_path / "test.npz")
    assert len(written["users"]) == len(written["items"]) == len(written["places"]) == len(held_out.past)
    user = cases[3].user
    own = np.argsort(written["places"][written["users"] == user])
    np.testing.assert_array_equal(written["items"][written["users"] == user][own], cases[3].history)
    np.testing.assert_array_equal(written["history"][written["asked"] == 3], cases[3].history)
    np.testing.assert_array_equal(written["target"][written["case"] == 3], cases[3].targets)


def test_popularity_stands_beside_to_show_that_the_split_is_the_same() -> None:
    popularity = np.array([3, 2, 1, 0], np.float32)
    ranked = np.full((2, max(CUTOFFS)), -1)
    ranked[0, 0] = 3
    (_, ours), (_, plain) = rows("set", ranked, [case([0], [3]), case([1], [2])], popularity, holdout="last")
    assert ours.startswith("R@10 0.5000")
    assert ours.endswith("2 cases, holdout last")
    assert plain.startswith("R@10 1.0000")


def test_the_product_of_another_split_is_refused(tmp_path: Path) -> None:
    figures = {f"recall@{k}": 0.25 for k in CUTOFFS}
    result = TaskResult(figures=figures, curve={}, slices={}, popularity={})
    facts = {"n_items": 4, "n_users": 2, "n_interactions": 5, "n_past": 3, "holdout": "last", "cut": None, "seed": 0}
    evaluation = Evaluation(
        data=DataFacts.model_validate(
            facts | {"n_cases": {"history": 2}, "n_cases_found": {"history": 2}, "n_unknown": 0}
        ),
        bands={},
        targets={},
        rankers=[RankerResult(name="product", kind="product", tasks={"history": result}, seconds=1)],
        comparisons=[],
    )
    file = tmp_path / "evaluation.json"
    file.write_text(evaluation.model_dump_json())
    ((name, row),) = product_rows("set", file, n_past=3, n_cases=2)
    assert (name, row[:11]) == ("set, history, product", "R@10 0.2500")
    with pytest.raises(DataError, match="2 histories on 3 events, this split has 2 on 4"):
        product_rows("set", file, n_past=4, n_cases=2)
