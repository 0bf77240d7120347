"""A recall done by the library's threads against the same recall done call by call."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifact import Artifact
from models.fused import PartWeights, SituationWeights
from models.item_index import build_index
from models.native.find import Compared, Find
from models.native.library import LIBRARY
from models.native.matching import native_matching
from models.native.search import NativeSearch
from models.overlay import LiveItem, lay_over
from models.recaller import Recaller, RecallJob, UserQuery, pool_size
from models.reduction import reduce
from models.relation_head import FeatureHead
from tests.artifacts import memory_artifact
from tests.models.native.test_native import head, matching
from tests.models.test_fused import DIM, learnt, random, user

N = 2_000
NOBODY = np.empty(0, np.int64)
LIVE = [LiveItem(f"new{n}", "a b", {}, random(41 + n, DIM), None if n else 7) for n in range(3)]


@cache
def many() -> Artifact:
    """An artifact whose index is worth reducing."""
    plain = matching(n_items=N)
    weights = SituationWeights(history=PartWeights(), text=PartWeights())
    model = replace(learnt(members=2, n_items=N), matching=native_matching(replace(plain, weights=weights)))
    artifact = replace(memory_artifact(model.item_vectors), head=head(), learnt=model, embeddings=random(40, N, DIM))
    return replace(artifact, index=build_index(model.item_vectors, "reduced", params={"rank": 8}))


@cache
def recaller(*, live: bool = False) -> Recaller:
    return lay_over(many(), Recaller(many()), LIVE, changed={}, deleted=[9])[1] if live else Recaller(many())


def query(n_texts: int, history: list[int], k: int = 20, excluded: list[int] | None = None) -> UserQuery:
    known = user(n_texts, history)
    return UserQuery(known.texts, known.history, known.weights, np.array(sorted(set(excluded or [])), np.int64), k)


def done(job: RecallJob | None) -> RecallJob:
    """The job, done in this thread."""
    assert job is not None
    LIBRARY.recall_find(job.job.struct)
    return job


def assert_same(recaller: Recaller, asked: UserQuery, *, rescore: bool) -> None:
    found = done(recaller.job(asked, rescore=rescore, deadline=None)).result()
    expected = recaller.recall(asked, rescore=rescore)
    assert found is not None
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.fallback is None
    for name in ("scores", "recall_scores", "relation_scores"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@given(
    n_texts=st.integers(0, 3),
    history=st.lists(st.integers(0, N - 1), max_size=20),
    k=st.integers(1, 60),
    excluded=st.lists(st.integers(0, N - 1), max_size=50),
    rescore=st.booleans(),
    live=st.booleans(),
)
def test_a_job_finds_what_a_recall_does(n_texts, history, k, excluded, rescore, live) -> None:
    if n_texts or history:
        assert_same(recaller(live=live), query(n_texts, history, k, excluded), rescore=rescore)


def test_what_it_was_searched_with_can_be_kept() -> None:
    """By the next request of the same user, who needn't be asked for again."""
    asked = query(2, [])
    job = done(recaller().job(asked, rescore=True, deadline=None))
    expected, sought = recaller().sought(asked), job.sought
    assert sought is not None
    assert sought.asked is not None
    assert expected is not None
    assert expected.asked is not None
    np.testing.assert_allclose(sought.vector, expected.vector, rtol=1e-5, atol=1e-6)
    assert sought.asked.alike.users.tolist() == expected.asked.alike.users.tolist()
    assert sought.asked.alike.weights.shape == expected.asked.alike.weights.shape
    again = done(recaller().job(replace(asked, texts=asked.texts[:0], sought=sought), rescore=True, deadline=None))
    assert again.sought is sought
    one, other = again.result(), job.result()
    assert one is not None
    assert other is not None
    assert one.rows.tolist() == other.rows.tolist()


@pytest.mark.parametrize("rescore", [True, False])
def test_a_user_who_turns_out_to_be_unknown_gets_what_nobody_gets(rescore: bool) -> None:
    """All of the history was taken back."""
    asked = replace(query(0, [3, 5]), weights=np.zeros(2, np.float32))
    job = done(recaller().job(asked, rescore=rescore, deadline=None))
    assert job.sought is None
    assert not job.find.is_skipped
    found, expected = job.result(), recaller().recall(asked, rescore=rescore)
    assert found is not None
    assert found.fallback == expected.fallback is not None
    assert found.rows.tolist() == expected.rows.tolist()


@pytest.mark.parametrize("excluded", [[], [N + 1, 3]])
def test_live_items_are_found_and_what_they_stand_over_is_not(excluded: list[int]) -> None:
    """Each is asked for by an item that is like it: itself."""
    asked = [query(0, [N + n], 60, excluded) for n in range(3)]
    found = [done(recaller(live=True).job(one, rescore=False, deadline=None)) for one in asked]
    rows = [set(job.find.pool[0].tolist()) for job in found]
    assert [N + n in of for n, of in enumerate(rows)] == [N + n not in excluded for n in range(3)]
    assert not {7, 9, *excluded} & set().union(*rows)
    for one in asked:
        assert_same(recaller(live=True), one, rescore=True)


@pytest.mark.parametrize("n_live", [1, 40, 3_000])
def test_among_many_live_items_the_best_of_all_are_found(n_live: int) -> None:
    """As scanning all finds them, on as many axes as there are dimensions."""
    live = [LiveItem(f"new{n}", "a b", {}, random(100 + n, DIM), n if n < 20 else None) for n in range(n_live)]
    whole = build_index(many().item_vectors, "reduced", params={"rank": many().item_vectors.shape[1]})
    exact = replace(many(), index=whole)
    over, other = lay_over(exact, Recaller(exact), live, changed={}, deleted=[25])
    vectors = np.vstack(over.learnt.item_vectors.stacked)
    for seed in range(5):
        asked = query(0, [100 + seed, N + seed % n_live], 60)
        job = done(other.job(asked, rescore=False, deadline=None))
        scores = vectors @ job.sought.vector
        scores[[*range(min(n_live, 20)), 25]] = -np.inf
        best = np.argsort(-scores, kind="stable")[: len(job.find.pool[0])]
        rows, found = job.find.pool
        assert len(rows) == 60
        assert rows.tolist() == best.tolist()
        np.testing.assert_allclose(found, scores[rows], rtol=1e-4, atol=1e-4)
        assert (np.diff(found) <= 0).all()


def test_a_live_item_comes_behind_one_of_the_catalogue_that_scores_the_same() -> None:
    twin = LiveItem("twin", "a b", {}, random(3, DIM), None)
    over, _ = lay_over(many(), Recaller(many()), [twin], changed={}, deleted=[])
    asked = many().item_vectors[5]
    over.index._live._native._vectors[0] = asked
    find = Find(over.index.compared(200, None), asked, None)
    find.run()
    rows, scores = find.pool
    place = rows.tolist().index(5)
    assert rows[place + 1] == N
    assert scores[place] == scores[place + 1]


def test_where_the_head_does_not_act_the_pool_is_the_answer() -> None:
    only_texts = FeatureHead(head().tensors, ("text",))
    other = Recaller(replace(many(), head=only_texts))
    assert_same(other, query(0, [3, 5]), rescore=True)
    job = done(other.job(query(0, [3, 5]), rescore=True, deadline=None))
    assert not job.find.is_skipped


def test_what_they_cannot_do_is_no_job() -> None:
    known = query(1, [3])
    assert recaller().job(query(0, []), rescore=True, deadline=None) is None  # nothing is known
    assert recaller().job(query(1, [3], 1_000), rescore=True, deadline=None) is None  # nearly all are wanted
    assert (
        Recaller(replace(many(), index=build_index(many().item_vectors, "flat", params={}))).job(
            known, rescore=True, deadline=None
        )
        is None
    )
    plain = Recaller(memory_artifact(random(1, N, 8)))  # has learnt nothing
    asked = UserQuery(random(2, 1, 8), NOBODY, np.empty(0, np.float32), NOBODY, 5)
    assert plain.job(asked, rescore=True, deadline=None) is None
    assert plain.job(asked, rescore=False, deadline=None) is None
    assert recaller().job(known, rescore=True, deadline=None) is not None


def test_where_there_is_no_job_the_user_is_not_asked_about_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be again, for the search that takes its place."""
    for how in ("sought", "_asking"):
        monkeypatch.setattr(Recaller, how, lambda *args: pytest.fail("asked"))
    assert recaller().job(query(1, [3], 1_000), rescore=True, deadline=None) is None


def test_what_comes_too_late_does_nothing() -> None:
    job = recaller().job(query(1, [3]), rescore=True, deadline=-1.0)
    assert job is not None
    assert not job.find.has_begun
    assert not job.find.is_late
    assert done(job).result() is None
    assert job.find.has_begun


def test_time_that_is_up_after_the_search_skips_the_head() -> None:
    """Of a search that takes a millisecond and more; whoever is interrupted before it tries again."""
    vectors = random(3, 60_000, 64)
    compared = Compared(NativeSearch(reduce(vectors, 32), vectors), 100, 30_000, None)
    asked = many().learnt.matching.ask(user(1, [3]))
    assert asked is not None
    for _ in range(20):
        find = Find(compared, random(4, 64), None)
        scorer = recaller()._score_features
        find.rescore(scorer, asked, many().item_vectors)
        find._native.deadline = LIBRARY.recall_seconds() + 2e-4
        LIBRARY.recall_find(find.job.struct)
        if not find.is_late:
            break
    assert find.is_skipped
    assert find.rescored is None
    assert len(find.pool[0]) == 100
    assert find.seconds[0] > 0
    assert find.seconds[1] == 0


def test_a_query_of_another_width_is_refused_and_not_read_past_its_end() -> None:
    compared = many().index.compared(pool_size(5), None)
    assert compared is not None
    with pytest.raises(ValueError, match="shape"):
        Find(compared, random(1, 3), None)


def test_a_query_that_is_no_number_finds_nothing() -> None:
    compared = recaller(live=True)._artifact.index.compared(200, None)
    assert compared is not None
    find = Find(compared, np.full(many().item_vectors.shape[1], np.nan, np.float32), None)
    LIBRARY.recall_find(find.job.struct)
    assert len(find.pool[0]) == 0
    assert not find.is_late
