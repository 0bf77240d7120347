from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.artifact import (
    TEXT_HASHES,
    check_probe,
    open_artifact,
    read_manifest,
)
from models.artifact_store import ArtifactStore
from models.artifact_writer import text_hashes
from models.errors import (
    ArtifactMismatchError,
)
from models.manifest import Probe
from models.types import Item
from tests.artifacts import ALL_FILES, contents_of, facts_of, publish, unit_rows, write
from tests.data.make_golden import GOLDEN, GoldenEncoder
from tests.fakes import DIM, FakeEncoder

VECTORS = unit_rows(6, DIM)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small written artifact of six items."""
    return tmp_path / "store" / publish(ArtifactStore(tmp_path / "store"), contents_of(VECTORS))


def test_an_artifact_gives_back_what_was_written(folder: Path) -> None:
    artifact = open_artifact(folder)
    contents = contents_of(VECTORS)
    assert artifact.item_ids == [item.id for item in contents.items]
    assert artifact.rows == {f"i{row}": row for row in range(6)}
    assert [artifact.fields.get(row) for row in range(6)] == [{"title": f"Title {row}"} for row in range(6)]
    np.testing.assert_array_equal(artifact.embeddings, VECTORS)
    np.testing.assert_array_equal(artifact.popularity, contents.popularity)
    np.testing.assert_array_equal(artifact.head.theta, np.ones(DIM))
    assert artifact.index.search(VECTORS[4], 1)[0].tolist() == [4]
    assert artifact.encoder_folder == folder / "encoder"
    assert artifact.manifest.parent is None
    assert artifact.manifest.index.n_items == len(artifact.index) == 6
    hashes = np.load(folder / TEXT_HASHES)
    np.testing.assert_array_equal(hashes, text_hashes(item.text for item in contents.items))


def test_an_opened_artifact_is_read_only(folder: Path) -> None:
    artifact = open_artifact(folder)
    with pytest.raises(ValueError, match="read-only"):
        artifact.embeddings[0] = 0


@given(
    st.lists(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(2**63), 2**63 - 1),
                st.floats(allow_nan=False, allow_infinity=False),
                st.text(st.characters(exclude_categories=["Cs"])),
                st.lists(st.integers(0, 5)),
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=25)
def test_any_fields_and_ids_come_back(tmp_path_factory: pytest.TempPathFactory, fields: list[dict]) -> None:
    n = len(fields)
    ids = [f"{row}\n\"'/../山\u2028" for row in range(n)]
    items = [Item(item_id, "", values) for item_id, values in zip(ids, fields, strict=True)]
    staged = tmp_path_factory.mktemp("fields") / ".staged"
    write(staged, replace(contents_of(VECTORS[:n]), items=items))
    artifact = open_artifact(staged)
    assert artifact.item_ids == ids
    assert [artifact.fields.get(row) for row in range(n)] == fields


def test_every_file_can_be_read_by_another_user(folder: Path) -> None:
    assert {(folder / name).stat().st_mode & 0o777 for name in ALL_FILES} == {0o644}
    assert folder.stat().st_mode & 0o777 == 0o755


def test_the_probe_passes_for_its_encoder_and_names_another(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert check_probe(FakeEncoder(), manifest) == pytest.approx(1)
    with pytest.raises(ArtifactMismatchError, match=r"probe text has cosine .*0\.999 is needed"):
        check_probe(FakeEncoder(seed=1), manifest)


def test_a_probe_of_another_dimension_names_both(folder: Path) -> None:
    golden = GoldenEncoder(next(GOLDEN.iterdir()) / "encoder", facts_of(8), 1)
    with pytest.raises(ArtifactMismatchError, match="has dim 64, the encoder gives 8"):
        check_probe(golden, read_manifest(folder))


def test_an_encoder_that_gives_no_number_fails_the_probe(folder: Path) -> None:
    class Broken(FakeEncoder):
        def encode_user(self, text):
            return np.full(DIM, np.nan, np.float32), False

    with pytest.raises(ArtifactMismatchError, match="cosine nan"):
        check_probe(Broken(), read_manifest(folder))


def test_the_probe_is_cleaned_by_the_recipe(tmp_path: Path) -> None:
    clean, _ = FakeEncoder().encode_user("a canary")
    probe = Probe(text="<b>a</b>  canary", vector=tuple(clean.tolist()), min_cosine=0.999)
    manifest = write(tmp_path / ".staged", contents_of(VECTORS), probe=probe)
    assert check_probe(FakeEncoder(), manifest) == pytest.approx(1)
