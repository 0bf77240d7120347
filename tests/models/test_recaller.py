import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recaller import Recaller, UserQuery, first, pool_size
from models.relation_head import HadamardHead
from models.types import Matrix, Vector
from tests.artifacts import memory_artifact, unit, unit_rows

DIM = 8
N = 250


def query(
    texts: list[Vector] = (),
    *,
    history: list[int] = (),
    weights: list[float] | None = None,
    excluded: list[int] = (),
    k: int = 10,
) -> UserQuery:
    return UserQuery(
        texts=np.array(texts, np.float32).reshape(len(texts), -1) if len(texts) else np.empty((0, DIM), np.float32),
        history=np.array(history, np.int64),
        weights=np.ones(len(history), np.float32) if weights is None else np.array(weights, np.float32),
        excluded=np.array(excluded, np.int64),
        k=k,
    )


def recaller_of(vectors: Matrix, *, popular: bool, seed: int = 0) -> Recaller:
    rng = np.random.default_rng(seed)
    head = HadamardHead(
        rng.standard_normal(vectors.shape[1]).astype(np.float32), rng.standard_normal(len(vectors)).astype(np.float32)
    )
    popularity = rng.integers(0, 5, len(vectors)) if popular else None
    return Recaller(memory_artifact(vectors, popularity=popularity, head=head))


RECALLERS = [recaller_of(unit_rows(N, DIM), popular=popular) for popular in (False, True)]
ROWS = st.lists(st.integers(0, N - 1), max_size=30)
FAR_TOO_MANY = st.integers(0, N).map(lambda n: list(range(n)))


@given(
    popular=st.booleans(),
    n_texts=st.integers(0, 3),
    history=ROWS,
    excluded=st.one_of(ROWS, FAR_TOO_MANY),
    k=st.integers(1, 300),
    rescore=st.booleans(),
)
def test_exactly_min_of_k_and_eligible_candidates_come_and_none_excluded(
    popular: bool, n_texts: int, history: list[int], excluded: list[int], k: int, rescore: bool
) -> None:
    user = query(list(unit_rows(n_texts, DIM, seed=1)), history=history, excluded=excluded, k=k)
    recalled = RECALLERS[popular].recall(user, rescore=rescore)
    rows = recalled.rows.tolist()
    assert len(rows) == min(k, N - len(set(excluded)))
    assert len(set(rows)) == len(rows)
    assert not set(rows) & set(excluded)
    assert (np.diff(recalled.scores) <= 0).all()
    assert len(recalled.scores) == len(recalled.recall_scores) == len(rows)
    known = bool(n_texts or history)
    assert recalled.fallback == (None if known else "popular" if popular else "centre")
    acted = rescore and recalled.fallback != "popular"
    assert (recalled.relation_scores is not None) == acted
    chosen = recalled.relation_scores if acted else recalled.recall_scores
    np.testing.assert_array_equal(recalled.scores, chosen)


@given(k=st.integers(1, 300), size=st.integers(0, 300), history=ROWS.filter(bool))
def test_rescoring_permutes_and_cuts_and_invents_nothing(k: int, size: int, history: list[int]) -> None:
    recaller = RECALLERS[0]
    user = query(history=history, k=k)
    pool = recaller.search(user, size=size)
    recalled = recaller.rescore(pool, k)
    assert len(pool.rows) == min(size, N)
    assert len(recalled.rows) == min(k, len(pool.rows))
    assert set(recalled.rows.tolist()) <= set(pool.rows.tolist())
    recall_scores = dict(zip(pool.rows.tolist(), pool.recall_scores.tolist(), strict=True))
    assert [recall_scores[row] for row in recalled.rows.tolist()] == recalled.recall_scores.tolist()
    everything = recaller.rescore(pool, len(pool.rows))
    assert sorted(everything.rows.tolist()) == sorted(pool.rows.tolist())
    np.testing.assert_array_equal(everything.rows[:k], recalled.rows)


def test_the_pool_is_the_index_best_for_the_user_vector() -> None:
    vectors = unit_rows(N, DIM)
    pool = RECALLERS[0].search(query([vectors[3]], history=[7, 9], weights=[1, 0.5]), size=20)
    expected = vectors[3] + 0.7 * vectors[7] + 0.5 * vectors[9]
    expected /= np.linalg.norm(expected)
    assert pool.user_vector is not None
    np.testing.assert_allclose(pool.user_vector, expected, atol=1e-6)
    np.testing.assert_array_equal(pool.rows, np.argsort(-(vectors @ expected))[:20])
    np.testing.assert_allclose(pool.recall_scores, (vectors @ expected)[pool.rows], atol=1e-6)


@pytest.mark.parametrize(
    ("k", "size"), [(1, 200), (40, 200), (41, 205), (100, 500), (400, 2000), (1000, 2000), (2000, 2000), (5000, 5000)]
)
def test_the_pool_holds_five_times_k_within_its_bounds(k: int, size: int) -> None:
    assert pool_size(k) == size


def test_recall_asks_for_that_pool_only_where_the_head_acts() -> None:
    """With k = 1 the head picks among 200, not among all and not only the best one."""
    vectors = unit_rows(N, DIM)
    order = np.argsort(-(vectors @ vectors[0]))
    bias = np.zeros(N, np.float32)
    bias[order[199]], bias[order[200]] = 5, 9
    recaller = Recaller(memory_artifact(vectors, head=HadamardHead(np.ones(DIM, np.float32), bias)))
    assert recaller.recall(query([vectors[0]], k=1)).rows.tolist() == [order[199]]
    assert recaller.recall(query([vectors[0]], k=1), rescore=False).rows.tolist() == [order[0]]


def test_equal_relation_scores_keep_the_order_of_the_pool() -> None:
    vectors, liked = unit_rows(200, DIM), np.arange(200) % 2
    head = HadamardHead(np.zeros(DIM, np.float32), liked.astype(np.float32))
    recaller = Recaller(memory_artifact(vectors, head=head))
    user = query([vectors[4]], k=200)
    pool = recaller.recall(user, rescore=False).rows
    np.testing.assert_array_equal(recaller.recall(user).rows, [*pool[liked[pool] == 1], *pool[liked[pool] == 0]])


def test_of_an_unknown_user_popular_items_come_equals_by_row() -> None:
    vectors = unit_rows(5, DIM)
    recaller = Recaller(memory_artifact(vectors, popularity=[2, 0, 4, 2, 1]))
    recalled = recaller.recall(query(k=4))
    assert recalled.fallback == "popular"
    assert recalled.rows.tolist() == [2, 0, 3, 4]
    assert recalled.scores.tolist() == recalled.recall_scores.tolist() == [1.0, 0.5, 0.5, 0.25]
    assert recalled.relation_scores is None
    assert recaller.recall(query(k=9)).rows.tolist() == [2, 0, 3, 4, 1]
    assert recaller.recall(query(excluded=[2, 3], k=2)).rows.tolist() == [0, 4]
    assert recaller.recall(query(excluded=[0, 1, 2, 3, 4])).rows.tolist() == []


def test_without_interactions_the_catalogues_centre_stands_in() -> None:
    vectors = np.stack([unit(1, 0, 0), unit(1, 0.5, 0), unit(0, 1, 0), unit(-1, 0, 0.1)])
    centre = unit(*vectors.mean(axis=0))
    recalled = Recaller(memory_artifact(vectors)).recall(
        UserQuery(np.empty((0, 3), np.float32), *np.empty((2, 0), np.int64), np.empty(0, np.int64), k=4)
    )
    assert recalled.fallback == "centre"
    assert recalled.rows.tolist() == np.argsort(-(vectors @ centre)).tolist()
    np.testing.assert_allclose(recalled.scores, np.sort(vectors @ centre)[::-1], atol=1e-6)
    assert recalled.relation_scores is not None


def test_a_catalogue_whose_centre_is_nothing_still_answers() -> None:
    vectors = np.array([[1, 0], [-1, 0]], np.float32)
    recalled = Recaller(memory_artifact(vectors)).recall(
        UserQuery(np.empty((0, 2), np.float32), *np.empty((2, 0), np.int64), np.empty(0, np.int64), k=2)
    )
    assert (recalled.rows.tolist(), recalled.fallback) == ([0, 1], "centre")


def test_a_history_of_no_weight_is_no_knowledge() -> None:
    assert RECALLERS[1].recall(query(history=[1, 2], weights=[0, 0])).fallback == "popular"
    assert RECALLERS[0].recall(query(history=[1, 2], weights=[0, 0])).fallback == "centre"


def test_the_history_is_not_excluded_by_itself() -> None:
    assert RECALLERS[0].recall(query(history=[17], k=1), rescore=False).rows.tolist() == [17]
    assert RECALLERS[0].recall(query(history=[17], excluded=[17], k=N), rescore=False).rows.tolist().count(17) == 0


def test_first_cuts_the_pool_as_it_is() -> None:
    pool = RECALLERS[0].search(query(history=[3]), size=8)
    recalled = first(pool, 5)
    np.testing.assert_array_equal(recalled.rows, pool.rows[:5])
    np.testing.assert_array_equal(recalled.scores, pool.recall_scores[:5])
    assert recalled.relation_scores is None
