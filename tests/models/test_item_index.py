from pathlib import Path

import faiss
import numpy as np
import pytest

from models.errors import ArtifactCorruptError
from models.item_index import build_index, load_index
from models.types import Matrix
from tests.artifacts import INDEX_PARAMS, unit_rows

VECTORS = unit_rows(50, 8)


def saved(folder: Path, kind: str) -> Path:
    build_index(VECTORS, kind, params=INDEX_PARAMS[kind]).save(folder / "index.faiss")
    return folder / "index.faiss"


def test_the_graph_is_built_with_its_parameters(tmp_path: Path) -> None:
    params = {"m": 5, "ef_construction": 77, "ef_search": 33}
    build_index(VECTORS, "hnsw", params=params).save(tmp_path / "index.faiss")
    index = faiss.read_index(str(tmp_path / "index.faiss"))
    hnsw = index.hnsw
    assert (hnsw.nb_neighbors(1), hnsw.efConstruction, hnsw.efSearch) == (5, 77, 33)


@pytest.mark.parametrize(
    ("kind", "asked", "dim", "n_items", "message"),
    [
        ("flat", "hnsw", 8, 50, "is a IndexFlatIP of 50 × 8, the manifest says hnsw, 50 × 8"),
        ("hnsw", "flat", 8, 50, "is a IndexHNSWFlat of 50 × 9, the manifest says flat, 50 × 8"),
        ("flat", "flat", 9, 50, "the manifest says flat, 50 × 9"),
        ("hnsw", "hnsw", 8, 51, "the manifest says hnsw, 51 × 8"),
        ("flat", "reduced", 8, 50, "is a IndexFlatIP of 50 × 8, the manifest says reduced, 50 × 8"),
        ("reduced", "flat", 8, 50, "is a IndexPreTransform of 50 × 8, the manifest says flat, 50 × 8"),
        ("reduced", "reduced", 9, 50, "the manifest says reduced, 50 × 9"),
    ],
)
def test_another_index_than_the_manifests_is_named(
    tmp_path: Path, kind: str, asked: str, dim: int, n_items: int, message: str
) -> None:
    with pytest.raises(ArtifactCorruptError, match=message) as caught:
        load_index(saved(tmp_path, kind), asked, np.empty((n_items, dim), np.float32))
    assert "index.faiss" in str(caught.value)


@pytest.mark.parametrize("make", [faiss.IndexFlatL2, lambda dim: faiss.IndexHNSWFlat(dim, 8)])
def test_distances_instead_of_inner_products_are_refused(tmp_path: Path, make) -> None:
    index = make(8)
    index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    kind = "hnsw" if isinstance(index, faiss.IndexHNSWFlat) else "flat"
    with pytest.raises(ArtifactCorruptError, match=r"index\.faiss"):
        load_index(tmp_path / "index.faiss", kind, VECTORS)


@pytest.mark.parametrize("kind", ["flat", "reduced", "hnsw"])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_cut_file_is_an_error_not_a_crash(tmp_path: Path, kind: str, share: float) -> None:
    path = saved(tmp_path, kind)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArtifactCorruptError, match=r"index\.faiss is no FAISS index"):
        load_index(path, kind, VECTORS)


@pytest.mark.parametrize("content", [b"not an index", b"IxFI", b"\0" * 200, b"IHNf" + b"\xff" * 200])
def test_another_file_is_an_error_not_a_crash(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.faiss").write_bytes(content)
    with pytest.raises(ArtifactCorruptError, match=r"index\.faiss"):
        load_index(tmp_path / "index.faiss", "flat", VECTORS)
    with pytest.raises(ArtifactCorruptError, match="absent"):
        load_index(tmp_path / "absent", "flat", VECTORS)


def test_a_mapped_index_outlives_its_files_name(tmp_path: Path) -> None:
    """An artifact that is deleted while a service has it open keeps answering."""
    path = saved(tmp_path, "flat")
    index = load_index(path, "flat", VECTORS)
    path.unlink()
    rows, _ = index.search(VECTORS[7], 1)
    assert rows.tolist() == [7]
    np.testing.assert_array_equal(index.search_exact(VECTORS[7], 50)[0], np.argsort(-(VECTORS @ VECTORS[7])))


def low_rank(n: int, rank: int, dim: int, noise: float) -> Matrix:
    rng = np.random.default_rng(0)
    inner = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, dim))
    return (inner + noise * rng.standard_normal((n, dim))).astype(np.float32)


# So many that a search for 100 compares a part of them.
MANY = low_rank(6_000, 6, 24, noise=0.3)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_a_reduced_index_finds_nearly_all_and_scores_exactly(share: float) -> None:
    index, rng = build_index(MANY, "reduced", params={"rank": 6}), np.random.default_rng(1)
    for query in rng.standard_normal((20, 24)).astype(np.float32):
        eligible = None if share == 1 else rng.random(len(MANY)) < share
        rows, scores = index.search(query, 100, eligible=eligible)
        exact = MANY @ query
        if eligible is not None:
            assert eligible[rows].all()
            exact[~eligible] = -np.inf
        assert len(np.intersect1d(rows, np.argsort(-exact)[:100])) >= 95
        np.testing.assert_allclose(scores, exact[rows], rtol=1e-5, atol=1e-5)
        assert (np.diff(scores) <= 0).all()


def test_a_reduction_that_loses_what_counts_loses_neighbours_but_fills_the_answer() -> None:
    """Shows that the reduced form decides, so that the test above sees it."""
    index = build_index(MANY, "reduced", params={"rank": 1})
    query = np.random.default_rng(2).standard_normal(24).astype(np.float32)
    rows, _ = index.search(query, 100)
    assert len(set(rows.tolist())) == 100
    assert len(np.intersect1d(rows, index.search_exact(query, 100)[0])) < 95


def test_where_most_would_be_compared_anyway_a_reduced_index_compares_all() -> None:
    index = build_index(MANY, "reduced", params={"rank": 1})
    query = np.random.default_rng(2).standard_normal(24).astype(np.float32)
    for found, exact in zip(index.search(query, 1_200), index.search_exact(query, 1_200), strict=True):
        np.testing.assert_array_equal(found, exact)


def test_what_a_search_scans_says_whether_it_is_quick(monkeypatch) -> None:
    """A reduced index scans less than a flat one of the same vectors; a graph is for what is never quick."""
    monkeypatch.setattr("models.item_index._QUICK_BYTES", MANY.nbytes // 2)
    small = MANY[: len(MANY) // 2]
    assert build_index(small, "flat", params={}).is_quick
    assert not build_index(MANY, "flat", params={}).is_quick
    assert build_index(MANY, "reduced", params={"rank": 6}).is_quick
    assert not build_index(small[:100], "hnsw", params=INDEX_PARAMS["hnsw"]).is_quick


def test_only_its_own_vector_is_held(tmp_path: Path) -> None:
    for kind, params in INDEX_PARAMS.items():
        index = build_index(VECTORS, kind, params=params)
        assert index.holds(3, VECTORS[3])
        assert not index.holds(3, VECTORS[4])


def test_another_chain_than_a_reduction_is_refused(tmp_path: Path) -> None:
    chain = faiss.IndexPreTransform(faiss.IndexHNSWFlat(4, 8, faiss.METRIC_INNER_PRODUCT))
    chain.prepend_transform(faiss.PCAMatrix(8, 4))
    chain.train(VECTORS)
    chain.add(VECTORS)
    faiss.write_index(chain, str(tmp_path / "index.faiss"))
    with pytest.raises(ArtifactCorruptError, match="no linear reduction"):
        load_index(tmp_path / "index.faiss", "reduced", VECTORS)


def test_a_graph_finds_short_vectors_beside_long_ones() -> None:
    """Some learnt vectors are a few times longer: on vectors as they are this graph finds .71 of the neighbours."""
    rng = np.random.default_rng(0)
    themes = rng.standard_normal((100, 32))[rng.integers(0, 100, 3_000)] + 0.15 * rng.standard_normal((3_000, 32))
    themes /= np.linalg.norm(themes, axis=1, keepdims=True)
    vectors = (themes * np.where(rng.random((3_000, 1)) < 0.05, 4, 1)).astype(np.float32)
    index = build_index(vectors, "hnsw", params={"m": 8, "ef_construction": 50, "ef_search": 100})
    found = []
    for row in rng.permutation(3_000)[:100]:
        query = vectors[row] + 0.1 * rng.standard_normal(32).astype(np.float32)
        exact, walked = index.search_exact(query, 50)[0], index.search(query, 50)[0]
        found.append(len(np.intersect1d(exact, walked)) / 50)
    assert np.mean(found) > 0.8
