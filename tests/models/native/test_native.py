"""The compiled library against numpy, which is the oracle: every function, on what a request may bring."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import cpu
from models.fused import FusedMatching, KnownUser
from models.item_index import build_index, n_compared
from models.native import rescore, search
from models.native.arrays import pointer
from models.native.library import FILE, LIBRARY, PROBLEM, open_library
from models.native.matching import NativeMatching, native_matching
from models.native.rescore import Catalogue, NativeHead, feature_scorer
from models.native.search import NativeSearch, NativeWriters, native_search
from models.neighbours import Neighbours
from models.overlay import LiveItem, lay_over
from models.recaller import Recaller
from models.reduction import reduce
from models.relation_features import N_FEATURES, relation_features
from models.relation_head import HIDDEN, FeatureHead
from models.user_text_neighbours import NEAREST, VIEWS, UserTextNeighbours
from tests.artifacts import memory_artifact
from tests.models.test_fused import DIM, N_ITEMS, TOWER, learnt, random, user

# Its weights are float16.
CLOSE = {"rtol": 2e-3, "atol": 2e-3}
KNOWN = [
    user(1, []),
    user(2, []),
    user(0, [3]),
    user(0, [3, 4, 5], [1.0, 0.0, 0.5]),
    user(3, [7, 7], [-1.0, 2.0]),
    user(60, list(range(25)) * 3),
]


def matching(members: int = 2, n_items: int = N_ITEMS) -> FusedMatching:
    """A learnt matching among whose users who wrote are more than are looked at."""
    model = learnt(members=members, n_items=n_items).matching
    written = random(20, 300, 3)
    written /= np.linalg.norm(written, axis=1, keepdims=True)
    items = np.random.default_rng(21).integers(0, n_items, 600).astype(np.int32)
    near = np.array([[(row + 1) % n_items, (row + 7) % n_items, -1] for row in range(n_items)], np.int32)
    side = replace(
        model.side,
        text_neighbours=UserTextNeighbours(written, np.arange(0, 602, 2), items),
        neighbours=Neighbours(near, np.abs(random(22, n_items, 3))),
    )
    return replace(model, side=side)


def head(seed: int = 30, n_features: int = N_FEATURES) -> FeatureHead:
    shapes = {"mean": (n_features,), "linear": (n_features,), "inner.weight": (HIDDEN, n_features)}
    shapes |= {"inner.bias": (HIDDEN,), "middle.weight": (HIDDEN, HIDDEN), "middle.bias": (HIDDEN,)}
    tensors = {name: random(seed + n, *shape) for n, (name, shape) in enumerate(shapes.items())}
    deviation = np.abs(random(seed + 8, n_features)) + np.float32(0.5)
    return FeatureHead(tensors | {"deviation": deviation, "outer.weight": random(seed + 9, HIDDEN)})


def test_this_installation_compiled_it() -> None:
    assert LIBRARY is not None, PROBLEM
    assert LIBRARY.N_FEATURES == N_FEATURES


def test_a_library_of_other_sources_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pull, say: its structs may be others."""
    for path in FILE.parent.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    assert open_library(tmp_path / FILE.name)[1] is None
    with (tmp_path / "search.c").open("a") as source:
        source.write("/* more */")
    library, problem = open_library(tmp_path / FILE.name)
    assert library is None
    assert "other sources" in str(problem)
    monkeypatch.setattr(cpu, "has_wide_vectors", lambda: False)
    assert "too old" in str(open_library(FILE)[1])
    assert "isn't there" in str(open_library(tmp_path / "none.so")[1])


def test_live_items_share_what_was_made_ready() -> None:
    native, plain = native_matching(matching()), matching()
    more = replace(plain.side, tower_items=random(50, N_ITEMS + 1, TOWER))
    other = native.beside(more)
    assert isinstance(native, NativeMatching)
    assert isinstance(other, NativeMatching)
    assert other._native is native._native
    found, expected = other.ask(user(1, [3])), plain.beside(more).ask(user(1, [3]))
    assert found is not None
    assert expected is not None
    np.testing.assert_allclose(found.vector, expected.vector, **CLOSE)


def test_what_is_too_short_is_refused_and_not_read_past_its_end() -> None:
    short = KnownUser(random(1, 1, 3), np.empty(0, np.int64), np.empty(0, np.float32))
    wide = UserTextNeighbours(random(1, 5, 8), np.zeros(6, np.int64), np.empty(0, np.int32))
    for ask in (
        lambda: native_matching(matching()).ask(short),
        lambda: _search(500)[0].search(random(1, 7), 1, 1, None),
        lambda: native_matching(replace(matching(), side=replace(matching().side, text_neighbours=wide))),
    ):
        with pytest.raises(ValueError, match=r"columns|shape"):
            ask()


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("known", KNOWN)
def test_it_asks_as_numpy_does(known: KnownUser, members: int) -> None:
    plain = matching(members)
    expected, found = plain.ask(known), native_matching(plain).ask(known)
    assert expected is not None
    assert found is not None
    assert found.situation == expected.situation
    np.testing.assert_allclose(found.vector, expected.vector, **CLOSE)
    for part in ("zero_shot", "behaviour", "tower", "popularity"):
        np.testing.assert_allclose(getattr(found.parts, part), getattr(expected.parts, part), **CLOSE)
    of_each = (found.tokens.texts + found.tokens.items, expected.tokens.texts + expected.tokens.items)
    for one, other in zip(*of_each, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)
    assert found.tokens.n_words == expected.tokens.n_words
    # In three dimensions many are as near as the last of the hundred, of whom int8 may take others.
    assert found.alike.users[:9].tolist() == expected.alike.users[:9].tolist()
    assert found.alike.weights.shape == expected.alike.weights.shape
    np.testing.assert_allclose(found.alike.weights[:, :9], expected.alike.weights[:, :9], rtol=1e-2)


@pytest.mark.parametrize("known", [user(0, []), user(0, [1, 2], [0.0, 0.0])])
def test_of_whom_nothing_is_known_it_says_so(known: KnownUser) -> None:
    assert native_matching(matching()).ask(known) is None


def test_a_tower_of_more_hops_than_it_knows_stays_numpys() -> None:
    plain = matching()
    facts = plain.side.tower.facts.model_copy(update={"hops": 5})
    deep = replace(plain, side=replace(plain.side, tower=replace(plain.side.tower, facts=facts)))
    assert native_matching(deep) is deep
    assert isinstance(native_matching(plain), NativeMatching)


def test_weights_that_float16_cannot_hold_stay_numpys() -> None:
    plain = matching()
    large = replace(plain, side=replace(plain.side, projection=plain.side.projection * np.float32(1e6)))
    assert native_matching(large) is large


@pytest.mark.parametrize("n_texts", [0, 1, 3])
@pytest.mark.parametrize(("n", "width"), [(1, 8), (40, 7), (300, 8), (300, 33)])
def test_it_finds_who_wrote_alike_as_numpy_does(n: int, width: int, n_texts: int) -> None:
    rows = random(1, n, width)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[n // 2] = rows[0]  # equal ones by row
    plain = UserTextNeighbours(rows, np.zeros(n + 1, np.int64), np.empty(0, np.int32))
    texts = np.vstack([rows[:1], random(2, 2, width)])[:n_texts]
    texts = np.hstack([texts, random(3, n_texts, 5)])  # the zero-shot part has more axes
    users, shares = np.empty(NEAREST, np.int64), np.empty(len(VIEWS) * NEAREST, np.float32)
    writers = NativeWriters(rows, NEAREST, VIEWS)
    found = LIBRARY.recall_alike(writers.native, pointer(texts), *texts.shape, pointer(users), pointer(shares))
    expected = plain.nearest(texts)
    assert found == len(expected.users)
    weights = shares[: len(VIEWS) * found].reshape(len(VIEWS), found)
    some = min(20, found)  # of those far away int8 may choose others
    assert users[:some].tolist() == expected.users[:some].tolist()
    np.testing.assert_allclose(weights[:, :some], expected.weights[:, :some], rtol=2e-2, atol=1e-4)
    np.testing.assert_allclose(weights.sum(axis=1), expected.weights.sum(axis=1), rtol=1e-4)


def _search(n: int, rank: int = 16) -> tuple[NativeSearch, np.ndarray]:
    vectors = random(2, n, 200)
    return NativeSearch(reduce(vectors, rank), vectors), vectors


@pytest.mark.parametrize("zeros", [[], [(0, 128)], [(64, 200)], [(0, 200)]])
def test_where_all_are_compared_it_finds_what_a_scan_finds(zeros: list[tuple[int, int]]) -> None:
    native, vectors = _search(500)
    query = random(3, 200)
    for start, end in zeros:  # what a query doesn't ask for isn't read
        query[start:end] = 0
    rows, scores = native.search(query, 50, 500, None)
    expected = vectors @ query
    assert rows.tolist() == np.argsort(-expected, kind="stable")[:50].tolist()
    np.testing.assert_allclose(scores, expected[rows], rtol=1e-4, atol=1e-4)


def test_it_returns_only_the_eligible() -> None:
    native, vectors = _search(500)
    query, eligible = random(3, 200), np.zeros(500, np.bool_)
    eligible[np.arange(0, 500, 7)] = True
    rows, _ = native.search(query, 10, int(eligible.sum()), eligible)
    assert rows.tolist() == [row for row in np.argsort(-(vectors @ query)) if eligible[row]][:10]


@pytest.mark.parametrize("n_eligible", [0, 2])
def test_who_is_not_eligible_stays_out_whatever_is_asked_for(n_eligible: int) -> None:
    native, _ = _search(40)
    eligible = np.zeros(40, np.bool_)
    eligible[:n_eligible] = True
    rows, _ = native.search(random(3, 200), 5, 10, eligible)
    assert sorted(rows.tolist()) == list(range(n_eligible))


def test_what_is_no_number_finds_nothing() -> None:
    native, _ = _search(500)
    for wrong in (np.nan, np.inf):
        query = random(3, 200)
        query[5] = wrong
        assert len(native.search(query, 10, 100, None)[0]) == 0


def test_int8_chooses_nearly_whom_float32_does() -> None:
    vectors = random(4, 4000, 64) * np.linspace(3, 0.1, 64, dtype=np.float32)
    reduction = reduce(vectors, 32)
    native = native_search(reduction, vectors)
    assert native is not None
    shares = []
    for seed in range(20):
        query = random(100 + seed, 64) * np.linspace(3, 0.1, 64, dtype=np.float32)
        chosen = set(np.argsort(-reduction.scores(query))[: n_compared(100)].tolist())
        found = set(native.search(query, n_compared(100), n_compared(100), None)[0].tolist())
        shares.append(len(chosen & found) / len(chosen))
    assert np.mean(shares) > 0.97


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("n", [0, 1, 5, N_ITEMS])
def test_it_sees_of_candidates_what_numpy_sees(known: KnownUser, n: int) -> None:
    model = learnt(members=2)
    asked = matching().ask(known)
    assert asked is not None
    rows = np.random.default_rng(n).permutation(N_ITEMS)[:n]
    scores = np.sort(random(5, n))[::-1].copy()
    expected = relation_features(asked, model.item_vectors, rows=rows, scores=scores)
    found = Catalogue(asked, model.item_vectors).features(asked, rows, scores).T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_it_sees_live_items_too() -> None:
    model = replace(learnt(members=2), matching=native_matching(matching()))
    plain = replace(memory_artifact(model.item_vectors), head=head(), learnt=model, embeddings=random(40, N_ITEMS, DIM))
    live = [LiveItem(f"new{n}", "a b", {}, random(41 + n, DIM), None) for n in range(2)]
    over, _ = lay_over(plain, Recaller(plain), live, changed={}, deleted=[0])
    assert over.learnt is not None
    asked = over.learnt.matching.ask(user(1, [3, N_ITEMS + 1]))
    assert asked is not None
    rows, scores = np.array([N_ITEMS, 5, N_ITEMS + 1, 3]), np.array([4.0, 3, 2, 1], np.float32)
    expected = relation_features(asked, over.item_vectors, rows=rows, scores=scores)
    found = Catalogue(asked, over.item_vectors).features(asked, rows, scores).T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_each_is_held_against_its_own_catalogue_whatever_others_ask_for_meanwhile() -> None:
    asked, known = matching().ask(user(2, [3])), NativeHead(head())
    assert asked is not None
    first, second = learnt(members=2).item_vectors, learnt(members=2).item_vectors

    class Intruder:
        def __del__(self) -> None:
            known.catalogue(asked, first)

    catalogue = known.catalogue(asked, first)
    catalogue._kept.struct(Intruder())
    del catalogue
    assert known.catalogue(asked, second).items is second


@pytest.mark.parametrize("n_features", [N_FEATURES, N_FEATURES - 2])
def test_it_scores_and_orders_as_numpy_does(n_features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = learnt(members=2), matching().ask(user(2, [3]))
    assert asked is not None
    rows, scores = np.arange(N_ITEMS), np.zeros(N_ITEMS, np.float32)
    compiled = feature_scorer(head(n_features=n_features))
    assert isinstance(compiled, NativeHead)
    found, order = compiled(asked, model.item_vectors, rows=rows, scores=scores)
    monkeypatch.setattr(rescore, "LIBRARY", None)
    expected, _ = feature_scorer(head(n_features=n_features))(asked, model.item_vectors, rows=rows, scores=scores)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert order.tolist() == np.argsort(-found, kind="stable").tolist()


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=70))
def test_order_is_by_falling_score_and_then_by_place(scores: list[float]) -> None:
    """One axis, one dimension: what is searched for are the numbers themselves."""
    vectors = np.array(scores, np.float32)[:, None]
    native = NativeSearch(replace(reduce(np.ones((1, 1), np.float32), 1), items=vectors), vectors)
    rows, found = native.search(np.ones(1, np.float32), len(scores), len(scores), None)
    assert rows.tolist() == np.argsort(-vectors[:, 0], kind="stable").tolist()
    np.testing.assert_array_equal(found, vectors[rows, 0])


def test_a_reduced_index_searches_without_it_as_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, query = random(6, 3000, 40), random(7, 40)
    compiled = build_index(vectors, "reduced", params={"rank": 20}).search(query, 50)
    monkeypatch.setattr(search, "LIBRARY", None)
    plain = build_index(vectors, "reduced", params={"rank": 20}).search(query, 50)
    assert len(set(compiled[0].tolist()) & set(plain[0].tolist())) >= 48
