from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index_builder.verify import measure_ann_recall, verify_artifact
from models.artifact_store import ArtifactStore
from models.errors import ArtifactCorruptError, ArtifactMismatchError
from models.item_index import ItemIndex, build_index
from models.types import Item
from tests.artifacts import contents_of, publish, unit_rows, write
from tests.fakes import DIM, FakeEncoder, load_fake

VECTORS = unit_rows(60, DIM)


def test_a_sound_artifact_is_returned_opened(store: ArtifactStore) -> None:
    artifact = verify_artifact(store.folder(), load=load_fake)
    assert artifact.manifest.artifact_id == store.current_id()


def test_a_staged_artifact_can_be_verified_before_it_has_its_name(tmp_path: Path) -> None:
    write(tmp_path / ".staging-x", contents_of(VECTORS))
    assert verify_artifact(tmp_path / ".staging-x", load=load_fake)


def test_the_encoder_is_loaded_from_inside_the_artifact(store: ArtifactStore) -> None:
    seen: list[Path] = []

    def load(folder: Path, facts: object, threads: int) -> FakeEncoder:
        seen.append(folder)
        return FakeEncoder()

    artifact = verify_artifact(store.folder(), load=load)
    assert seen == [artifact.folder / "encoder"]


def test_another_encoder_fails_the_probe(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactMismatchError, match=f"artifact {store.current_id()}: .*probe text has cosine"):
        verify_artifact(store.folder(), load=lambda folder, facts, threads: FakeEncoder(seed=3))


def test_damage_is_found_before_the_encoder_is_loaded(store: ArtifactStore) -> None:
    path = store.folder() / "encoder" / "seed.txt"
    path.write_text("1")
    with pytest.raises(ArtifactCorruptError, match=r"encoder/seed\.txt"):
        verify_artifact(store.folder(), load=lambda folder, facts, threads: pytest.fail("loaded"))


def test_an_id_that_stands_twice_is_named(tmp_path: Path) -> None:
    items = [Item(f"i{row % 59}", "", {}) for row in range(60)]
    write(tmp_path / ".staging-x", replace(contents_of(VECTORS), items=items))
    with pytest.raises(ArtifactMismatchError, match="60 ids, 59 of them distinct"):
        verify_artifact(tmp_path / ".staging-x", load=load_fake)


def test_an_index_of_other_vectors_is_found(tmp_path: Path) -> None:
    """Each part is sound by its hash; only a search shows that they don't belong together."""
    store = ArtifactStore(tmp_path)
    other = build_index(unit_rows(60, DIM, seed=1), "flat", params={})
    folder = store.folder(publish(store, replace(contents_of(VECTORS), index=other)))
    with pytest.raises(ArtifactMismatchError, match="item 'i0' is not found by its own vector"):
        verify_artifact(folder, load=load_fake)


def test_identical_items_do_not_count_as_lost(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    folder = store.folder(publish(store, contents_of(np.repeat(VECTORS[:3], 20, axis=0))))
    assert verify_artifact(folder, load=load_fake)


class LossyIndex(ItemIndex):
    """Finds the best `kept` of what is asked for."""

    kept = 0

    def search(self, query, k, *, eligible=None):
        rows, scores = super().search(query, k, eligible=eligible)
        return rows[: self.kept], scores[: self.kept]


@pytest.mark.parametrize(
    ("n_items", "kept", "recall"), [(300, 100, 1.0), (300, 25, 0.25), (40, 40, 1.0), (40, 10, 0.25)]
)
def test_ann_recall_is_the_share_of_the_exact_neighbours(n_items: int, kept: int, recall: float) -> None:
    vectors = unit_rows(n_items, 8)
    index = LossyIndex(build_index(vectors, "flat", params={})._index, "flat", vectors)
    index.kept = kept
    assert measure_ann_recall(index, vectors) == pytest.approx(recall)


def test_ann_recall_is_measured_on_the_same_queries_each_time() -> None:
    vectors = unit_rows(500, 8)
    coarse = build_index(vectors, "hnsw", params={"m": 2, "ef_construction": 4, "ef_search": 1})
    first = measure_ann_recall(coarse, vectors)
    assert 0 < first < 1
    assert measure_ann_recall(coarse, vectors) == first
    assert measure_ann_recall(coarse, vectors, seed=1) != first
    assert measure_ann_recall(build_index(vectors, "flat", params={}), vectors) == 1.0
