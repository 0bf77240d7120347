from pathlib import Path

import faiss
import numpy as np
import pytest

from models.errors import ArtifactCorruptError
from models.item_index import build_index, load_index
from tests.artifacts import HNSW, unit_rows

VECTORS = unit_rows(50, 8)


def saved(folder: Path, kind: str) -> Path:
    build_index(VECTORS, kind, params=HNSW).save(folder / "index.faiss")
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
        ("hnsw", "flat", 8, 50, "is a IndexHNSWFlat of 50 × 8, the manifest says flat, 50 × 8"),
        ("flat", "flat", 9, 50, "the manifest says flat, 50 × 9"),
        ("hnsw", "hnsw", 8, 51, "the manifest says hnsw, 51 × 8"),
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


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
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
