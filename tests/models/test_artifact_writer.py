from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifact import EMBEDDINGS, FIELD_OFFSETS, MANIFEST
from models.artifact_store import ArtifactStore
from models.artifact_writer import text_hashes
from tests.artifacts import ALL_FILES, contents_of, publish, unit_rows, write
from tests.fakes import DIM

VECTORS = unit_rows(6, DIM)


def test_what_is_unchanged_is_a_hard_link_to_the_parent(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    parent = store.open(publish(store, contents_of(VECTORS)))
    before = {name: (parent.folder / name).read_bytes() for name in ALL_FILES}
    changed = replace(contents_of(VECTORS), popularity=np.full(6, 9, np.float32))
    child = store.open(publish(store, changed, parent=parent))
    assert child.manifest.parent == parent.manifest.artifact_id
    linked = {name for name in ALL_FILES if (child.folder / name).samefile(parent.folder / name)}
    assert linked == set(ALL_FILES) - {MANIFEST, "popularity.npy"}
    assert {name: (parent.folder / name).read_bytes() for name in ALL_FILES} == before
    assert store.open(parent.manifest.artifact_id).popularity[0] == 0
    assert child.popularity[0] == 9


@pytest.mark.parametrize("name", [EMBEDDINGS, FIELD_OFFSETS])
def test_a_full_disk_is_an_error_that_says_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"{tmp_path} can't be written: .*; make room on its disk and run it again"):
        write(tmp_path, contents_of(VECTORS))


def test_identity_and_time_make_two_builds_of_the_same_two_artifacts(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    assert publish(store, contents_of(VECTORS)) != publish(store, contents_of(VECTORS))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8))
def test_text_hashes_tell_texts_apart(texts: list[str]) -> None:
    hashes = text_hashes(texts)
    assert hashes.shape == (len(texts), 16)
    assert hashes.dtype == np.uint8
    assert len({row.tobytes() for row in hashes}) == len(set(texts))
