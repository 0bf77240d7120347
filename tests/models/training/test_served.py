"""The product is ranked as the service would answer."""

from dataclasses import replace

import numpy as np

from models.item_index import build_index
from models.training.encodings import encodings_of
from models.training.served import Served, searched_exactly
from models.training.split import Case
from tests.artifacts import HNSW, memory_artifact, unit_rows

VECTORS = unit_rows(30, 8)
ENCODINGS = encodings_of(VECTORS, {"Hello!": "hello", "Bye": "bye"}, unit_rows(2, 8, seed=1))


def case(history: list[int], texts: tuple[str, ...]) -> Case:
    return Case(0, "history", np.array(history, np.int64), texts, np.array([0]), is_new_user=False)


def test_texts_and_history_make_the_query_and_the_history_is_left_out() -> None:
    """The decayed mean of an untrained artifact: 0.7 a step back."""
    artifact = memory_artifact(VECTORS)
    asked = case([4, 9, 4], ("Hello!", "Bye", "never encoded"))
    user = ENCODINGS.users.T @ [0.7, 1] + VECTORS[[4, 9, 4]].T @ [0.49, 0.7, 1]
    expected = [row for row in np.argsort(-(VECTORS @ user)) if row not in (4, 9)]
    (ranked,) = Served(artifact, ENCODINGS, rescore=False).rank([asked], 10)
    assert ranked.tolist() == expected[:10]


def test_what_is_barred_is_no_answer() -> None:
    asked = replace(case([1], ("Hello!",)), barred=np.arange(20))
    (ranked,) = Served(memory_artifact(VECTORS), ENCODINGS, rescore=True).rank([asked], 12)
    assert sorted(ranked[:10].tolist()) == list(range(20, 30))
    assert set(ranked[10:].tolist()) == {-1}


def test_short_lists_are_filled() -> None:
    (ranked,) = Served(memory_artifact(VECTORS), ENCODINGS, rescore=True).rank([case([1], ())], 40)
    assert sorted(ranked[:29].tolist()) == [row for row in range(30) if row != 1]
    assert set(ranked[29:].tolist()) == {-1}


def test_the_head_acts_when_asked_to() -> None:
    artifact = memory_artifact(VECTORS)
    head = replace(artifact.head, bias=np.where(np.arange(30) == 7, 10, 0).astype(np.float32))
    artifact = replace(artifact, head=head)
    asked = [case([1], ())]
    assert Served(artifact, ENCODINGS, rescore=True).rank(asked, 5)[0, 0] == 7
    plain = Served(artifact, ENCODINGS, rescore=False).rank(asked, 5)
    assert plain.tolist() == Served(memory_artifact(VECTORS), ENCODINGS, rescore=False).rank(asked, 5).tolist()


def test_exact_search_holds_the_same_vectors() -> None:
    artifact = replace(memory_artifact(VECTORS), index=build_index(VECTORS, "hnsw", params=HNSW))
    exact = searched_exactly(artifact)
    assert (artifact.index.kind, exact.index.kind) == ("hnsw", "flat")
    rows, _ = exact.index.search(VECTORS[3], 30)
    assert rows.tolist() == np.argsort(-(VECTORS @ VECTORS[3]), kind="stable").tolist()
