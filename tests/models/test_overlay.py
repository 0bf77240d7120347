"""An artifact with live items laid over it answers as one that was built with them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.overlay import LiveItem, lay_over
from models.recaller import Recaller, UserQuery
from models.relation_head import cosine_head
from models.types import Matrix
from tests.artifacts import memory_artifact, unit_rows
from tests.models.test_fused import DIM as EMBEDDING
from tests.models.test_fused import N_ITEMS, learnt

N, DIM = 40, 8
VECTORS = unit_rows(N, DIM)
MORE = unit_rows(12, DIM, seed=1)


def live(vectors: Matrix, rows: list[int | None] | None = None) -> list[LiveItem]:
    return [
        LiveItem(f"new{number}" if row is None else f"i{row}", "", {"n": number}, vector, row)
        for number, (vector, row) in enumerate(zip(vectors, rows or [None] * len(vectors), strict=True))
    ]


def query(
    *, texts: Matrix, history: list[int] | None = None, excluded: list[int] | None = None, k: int = 5
) -> UserQuery:
    history = history or []
    return UserQuery(
        texts=texts,
        history=np.array(history, np.int64),
        weights=np.ones(len(history), np.float32),
        excluded=np.array(excluded or [], np.int64),
        k=k,
    )


@given(
    n_live=st.integers(0, 12),
    over=st.lists(st.integers(0, N - 1), max_size=12, unique=True),
    deleted=st.lists(st.integers(0, N - 1), max_size=N, unique=True),
    excluded=st.sets(st.integers(0, N + 11), max_size=N),
    history=st.lists(st.integers(0, N + 11), max_size=4),
    k=st.integers(1, 60),
    rescore=st.booleans(),
    seed=st.integers(0, 9),
)
def test_answers_are_those_of_a_catalogue_that_holds_everything(
    n_live: int,
    over: list[int],
    deleted: list[int],
    excluded: set[int],
    history: list[int],
    k: int,
    rescore: bool,
    seed: int,
) -> None:
    rows = [over[number] if number < len(over) else None for number in range(n_live)]
    deleted = [row for row in deleted if row not in rows]
    history = [row for row in history if row < N + n_live]
    unwanted = [row for row in excluded if row < N + n_live]
    plain = memory_artifact(VECTORS)
    artifact, recaller = lay_over(plain, Recaller(plain), live(MORE[:n_live], rows), changed={}, deleted=deleted)
    everything = memory_artifact(np.vstack([VECTORS, MORE[:n_live]]))
    dead = sorted({*deleted, *(row for row in rows if row is not None), *unwanted})
    texts = unit_rows(1, DIM, seed=100 + seed)
    found = recaller.recall(query(texts=texts, history=history, excluded=unwanted, k=k), rescore=rescore)
    expected = Recaller(everything).recall(query(texts=texts, history=history, excluded=dead, k=k), rescore=rescore)
    assert len(found.rows) == min(k, N + n_live - len(dead))
    assert found.rows.tolist() == expected.rows.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    assert len(artifact.index) == N + n_live


def test_ids_rows_and_fields_lead_to_the_live_item() -> None:
    plain = memory_artifact(VECTORS)
    artifact, _ = lay_over(plain, Recaller(plain), live(MORE[:2], [None, 7]), changed={3: {"price": 1}}, deleted=[5])
    assert [artifact.item_ids[row] for row in (0, N, N + 1)] == ["i0", "new0", "i7"]
    assert (artifact.rows["new0"], artifact.rows["i7"], artifact.rows["i5"]) == (N, N + 1, 5)
    assert "nobody" not in artifact.rows
    assert [artifact.fields.get(row) for row in (0, 3, N, N + 1)] == [{}, {"price": 1}, {"n": 0}, {"n": 1}]
    assert len(artifact.item_ids) == N + 2
    assert plain.fields.get(3) == {}
    assert "new0" not in plain.rows


def test_popularity_is_that_of_the_row_that_is_stood_over_and_none_for_a_new_item() -> None:
    plain = memory_artifact(VECTORS[:4], popularity=[1, 5, 3, 4])
    _, recaller = lay_over(plain, Recaller(plain), live(MORE[:2], [1, None]), changed={}, deleted=[2])
    found = recaller.recall(query(texts=np.empty((0, DIM), np.float32), k=10))
    assert found.fallback == "popular"
    assert found.rows.tolist() == [4, 3, 0, 5]
    assert found.scores.tolist() == pytest.approx([1, 0.8, 0.2, 0])


def test_what_stands_over_a_learnt_item_is_as_popular_and_no_newer() -> None:
    model = learnt()
    model = replace(model, item_side=replace(model.item_side, popularity=3.0))
    plain = replace(memory_artifact(unit_rows(N_ITEMS, EMBEDDING)), learnt=model)
    more = live(unit_rows(2, EMBEDDING, seed=1), [None, 7])
    artifact, _ = lay_over(plain, Recaller(plain), more, changed={}, deleted=[])
    assert artifact.learnt is not None
    popularity = artifact.learnt.item_vectors[np.array([N_ITEMS, N_ITEMS + 1])][:, -1]
    assert popularity.tolist() == [3.0, model.item_vectors[7, -1]]


def test_the_heads_bias_goes_with_the_item() -> None:
    bias = np.arange(N, dtype=np.float32)
    plain = memory_artifact(VECTORS, head=replace(cosine_head(DIM, N), bias=bias))
    _, recaller = lay_over(plain, Recaller(plain), live(MORE[:2], [N - 1, None]), changed={}, deleted=[])
    found = recaller.recall(query(texts=MORE[:1], k=N + 1))
    by_row = dict(zip(found.rows.tolist(), found.scores - found.recall_scores, strict=True))
    assert by_row[N] == pytest.approx(N - 1)
    assert by_row[N + 1] == pytest.approx(0)


def test_only_deletions_or_only_changes_need_no_live_vectors() -> None:
    plain = memory_artifact(VECTORS)
    _, recaller = lay_over(plain, Recaller(plain), [], changed={}, deleted=list(range(1, N)))
    assert recaller.recall(query(texts=MORE[:1], k=9)).rows.tolist() == [0]


def test_a_search_is_as_quick_as_that_of_the_catalogue_and_that_of_the_live_items_together(monkeypatch) -> None:
    for most, quick in ((VECTORS.nbytes, True), (MORE[:1].nbytes, False)):
        monkeypatch.setattr("models.item_index._QUICK_BYTES", most)
        plain = memory_artifact(VECTORS)
        changed, _ = lay_over(plain, Recaller(plain), [], changed={}, deleted=[1])
        assert changed.index.is_quick is quick
