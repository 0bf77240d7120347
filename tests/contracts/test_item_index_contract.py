"""What every item index does alike: exact, reduced and HNSW, in memory and mapped from a file."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.item_index import IndexKind, ItemIndex, build_index, load_index
from models.types import Mask, Matrix, Rows, Vector
from tests.artifacts import INDEX_PARAMS, unit_rows

N = 200

Build = Callable[[Matrix], ItemIndex]


@pytest.fixture(params=["flat", "reduced", "hnsw"])
def kind(request: pytest.FixtureRequest) -> IndexKind:
    return request.param


@pytest.fixture(params=["memory", "mapped"])
def build(request: pytest.FixtureRequest, kind: IndexKind, tmp_path: Path) -> Build:
    def in_memory(vectors: Matrix) -> ItemIndex:
        return build_index(vectors, kind, params=INDEX_PARAMS[kind])  # an effort above the size of these: exact

    def mapped(vectors: Matrix) -> ItemIndex:
        path = tmp_path / "index.faiss"
        path.unlink(missing_ok=True)  # an index that is still open keeps its file
        in_memory(vectors).save(path)
        return load_index(path, kind, vectors)

    return mapped if request.param == "mapped" else in_memory


def brute_force(vectors: Matrix, query: Vector, k: int, eligible: Mask | None = None) -> tuple[Rows, Vector]:
    scores = vectors @ query
    rows = np.flatnonzero(np.ones(len(vectors), np.bool_) if eligible is None else eligible)
    best = rows[np.lexsort((rows, -scores[rows]))][:k]
    return best, scores[best]


def assert_found(found: tuple[Rows, Vector], expected: tuple[Rows, Vector]) -> None:
    (rows, scores), (expected_rows, expected_scores) = found, expected
    assert rows.dtype == np.int64
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, atol=2e-6)


MASKS = ["none", "all", "half", "few", "one", "nothing"]


def mask_of(name: str, n: int, rng: np.random.Generator) -> Mask | None:
    shares = {"all": 1.0, "half": 0.5, "few": 0.05, "nothing": 0.0}
    if name == "none":
        return None
    if name == "one":
        return np.arange(n) == rng.integers(n)
    return rng.random(n) < shares[name]


@given(
    n=st.integers(1, 80),
    dim=st.integers(2, 24),
    k=st.integers(1, 150),
    mask=st.sampled_from(MASKS),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_a_search_finds_what_brute_force_finds(build: Build, n: int, dim: int, k: int, mask: str, seed: int) -> None:
    vectors, rng = unit_rows(n, dim, seed), np.random.default_rng(seed)
    query = rng.standard_normal(dim).astype(np.float32)
    eligible = mask_of(mask, n, rng)
    rows, scores = build(vectors).search(query, k, eligible=eligible)
    expected_rows, expected_scores = brute_force(vectors, query, k, eligible)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=2e-6)
    assert (np.diff(scores) <= 0).all()
    if np.diff(np.sort(vectors @ query)).min(initial=1) > 1e-5:  # else rounding may swap neighbours
        np.testing.assert_array_equal(rows, expected_rows)


@given(
    cells=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=40),
    query=st.lists(st.integers(-2, 2), min_size=3, max_size=3),
    k=st.integers(1, 50),
    mask=st.sampled_from(MASKS),
)
@settings(max_examples=60)
def test_equal_scores_are_in_the_order_of_their_rows(
    build: Build, cells: list[list[int]], query: list[int], k: int, mask: str
) -> None:
    """Small integers have exact inner products, with many ties."""
    vectors, wanted = np.array(cells, np.float32), np.array(query, np.float32)
    eligible = mask_of(mask, len(vectors), np.random.default_rng(0))
    rows, scores = build(vectors).search(wanted, k, eligible=eligible)
    expected_rows, expected_scores = brute_force(vectors, wanted, k, eligible)
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(vectors[rows] @ wanted, scores)
    assert list(zip(-scores, rows, strict=True)) == sorted(zip(-scores, rows, strict=True))
    assert len(set(rows.tolist())) == len(rows)
    assert eligible is None or eligible[rows].all()
    above = expected_scores > expected_scores[-1] if len(expected_scores) else np.empty(0, np.bool_)
    np.testing.assert_array_equal(rows[above], expected_rows[above])  # which of the last ties come is open


VECTORS = unit_rows(N, 32)


@pytest.mark.parametrize("share", [0.0, 1 / N, 0.05, 0.09, 0.11, 0.5, 1.0])
def test_whatever_is_ineligible_the_answer_is_exact_and_full(build: Build, share: float) -> None:
    index = build(VECTORS)
    eligible = np.random.default_rng(1).permutation(N) < round(share * N)
    for k in (1, 10, 99, 100, N, 10_000):  # FAISS takes another way from 100 on
        for query in unit_rows(3, 32, seed=7):
            found = index.search(query, k, eligible=eligible)
            assert len(found[0]) == min(k, eligible.sum())
            assert_found(found, brute_force(VECTORS, query, k, eligible))


def test_k_may_exceed_the_items_and_be_zero(build: Build) -> None:
    index = build(VECTORS)
    assert_found(index.search(VECTORS[3], N + 1), brute_force(VECTORS, VECTORS[3], N))
    assert_found(index.search_exact(VECTORS[3], N + 1), brute_force(VECTORS, VECTORS[3], N))
    rows, scores = index.search(VECTORS[3], 0)
    assert (rows.shape, scores.shape) == ((0,), (0,))
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)


def test_the_oracle_is_exact(build: Build) -> None:
    index = build(VECTORS)
    for query in unit_rows(5, 32, seed=8):
        assert_found(index.search_exact(query, 100), brute_force(VECTORS, query, 100))


def test_scores_are_inner_products_not_distances(build: Build) -> None:
    vectors = np.array([[3, 0], [1, 0], [-5, 0], [0, 9]], np.float32)
    rows, scores = build(vectors).search(np.array([2, 0], np.float32), 4)
    assert rows.tolist() == [0, 1, 3, 2]
    assert scores.tolist() == [6, 2, 0, -10]


def test_identical_items_are_all_found(build: Build) -> None:
    """A graph over copies of one vector comes apart; the answer must be full all the same."""
    vectors = np.repeat(unit_rows(2, 8), 150, axis=0)
    rows, _ = build(vectors).search(vectors[0], 300)
    assert sorted(rows.tolist()) == list(range(300))


def test_one_item_is_an_index(build: Build) -> None:
    index = build(VECTORS[:1])
    assert (len(index), index.dim) == (1, 32)
    assert_found(index.search(VECTORS[1], 10), brute_force(VECTORS[:1], VECTORS[1], 1))


def test_a_query_may_be_a_view(build: Build) -> None:
    index = build(VECTORS)
    strided = np.repeat(VECTORS[5], 2)[::2]
    assert_found(index.search(strided, 10), brute_force(VECTORS, VECTORS[5], 10))


def test_threads_get_the_same_answers(build: Build) -> None:
    index = build(VECTORS)
    queries = unit_rows(64, 32, seed=9)
    masks = [np.random.default_rng(n).random(N) < 0.3 for n in range(64)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: index.search(queries[n], 20, eligible=masks[n]), range(64)))
    for n in range(64):
        assert_found(found[n], brute_force(VECTORS, queries[n], 20, masks[n]))


def test_what_is_mapped_from_a_file_is_what_was_saved(kind: IndexKind, tmp_path: Path) -> None:
    built = build_index(VECTORS, kind, params=INDEX_PARAMS[kind])
    built.save(tmp_path / "index.faiss")
    loaded = load_index(tmp_path / "index.faiss", kind, VECTORS)
    loaded.save(tmp_path / "again.faiss")
    assert (tmp_path / "again.faiss").read_bytes() == (tmp_path / "index.faiss").read_bytes()
    for query in unit_rows(5, 32, seed=8):
        for one, other in zip(built.search(query, 50), loaded.search(query, 50), strict=True):
            np.testing.assert_array_equal(one, other)
