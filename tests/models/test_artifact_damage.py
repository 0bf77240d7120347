"""Whatever is wrong with an artifact, opening and verifying it say what, and never crash."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder.verify import verify_artifact
from models.artifact import (
    MANIFEST,
    open_artifact,
    read_manifest,
)
from models.artifact_store import ArtifactStore
from models.artifact_writer import ArtifactContents
from models.errors import (
    ArtifactCorruptError,
    ArtifactError,
    ArtifactMismatchError,
    ArtifactMissingError,
    ArtifactUnsupportedError,
)
from models.item_index import build_index
from models.manifest import seal
from models.relation_head import cosine_head
from models.types import Item
from tests.artifacts import ALL_FILES, contents_of, facts_of, publish, unit_rows, write
from tests.fakes import DIM, load_fake

VECTORS = unit_rows(6, DIM)


@pytest.fixture(scope="module")
def victim(built_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of the small demo, damaged and mended by each test."""
    source = ArtifactStore(built_demo / "artifacts").folder()
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("victim") / source.name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small written artifact of six items."""
    return tmp_path / "store" / publish(ArtifactStore(tmp_path / "store"), contents_of(VECTORS))


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_named(folder: Path, name: str, kind: type[ArtifactError] = ArtifactError) -> None:
    """Opening and verifying fail alike, with the artifact's id and the file's name."""
    with pytest.raises(kind) as opened:
        open_artifact(folder)
    with pytest.raises(kind) as verified:
        verify_artifact(folder, load=load_fake)
    assert str(opened.value) == str(verified.value)
    assert name in str(opened.value)
    assert folder.name in str(opened.value)


@given(data=st.data())
@settings(max_examples=150)
def test_any_flipped_byte_of_any_file_is_found_and_the_file_named(victim: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(files_of(victim)))
    path = victim / name
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
            open_artifact(victim)
    finally:
        path.write_bytes(content)


def test_these_are_all_the_files(folder: Path) -> None:
    assert files_of(folder) == ALL_FILES
    assert sorted([*read_manifest(folder).files, MANIFEST]) == ALL_FILES


@pytest.mark.parametrize("name", ALL_FILES)
class TestOneFileIsWrong:
    def test_deleted(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        assert_named(folder, name, ArtifactMissingError)

    @pytest.mark.parametrize("share", [0, 0.5, 0.99])
    def test_cut(self, folder: Path, name: str, share: float) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])
        assert_named(folder, name, ArtifactCorruptError)

    def test_grown(self, folder: Path, name: str) -> None:
        with (folder / name).open("ab") as file:
            file.write(b"\0")
        assert_named(folder, name, ArtifactCorruptError)

    def test_a_git_lfs_pointer(self, folder: Path, name: str) -> None:
        size = (folder / name).stat().st_size
        (folder / name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {size}\n")
        assert_named(folder, name, ArtifactCorruptError)

    def test_a_directory_in_its_place(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()
        assert_named(folder, name, ArtifactCorruptError)

    def test_another_artifacts(self, folder: Path, name: str) -> None:
        contents = replace(contents_of(unit_rows(6, DIM, seed=1)), head=cosine_head(DIM, 6))
        items = [Item(f"other{row}", f"other {row}", {"title": f"Other, and longer {row}"}) for row in range(6)]
        contents = replace(contents, items=items, popularity=np.ones(6, np.float32))
        contents.head.bias[0] = 1
        store = ArtifactStore(folder.parent)
        other = store.folder(publish(store, contents))
        (other / "encoder/seed.txt").write_text("1")
        (folder / name).write_bytes((other / name).read_bytes())
        # A whole manifest of another artifact is sound in itself: only the directory's name gives it away.
        shown, kind = (name, ArtifactCorruptError) if name != MANIFEST else (other.name, ArtifactMismatchError)
        assert_named(folder, shown, kind)


def test_a_file_where_the_encoders_directory_was_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "encoder")
    (folder / "encoder").write_text("")
    assert_named(folder, "encoder/seed.txt", ArtifactCorruptError)


def test_a_missing_directory_is_named(folder: Path) -> None:
    shutil.rmtree(folder)
    assert_named(folder, "manifest.json", ArtifactMissingError)


def test_another_format_version_is_named(folder: Path) -> None:
    raw = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(raw.replace(b'"format_version":1', b'"format_version":2'))
    assert_named(folder, "manifest.json has format_version 2, this version reads 1", ArtifactUnsupportedError)


def test_an_edited_field_is_named(folder: Path) -> None:
    raw = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(raw.replace(b'"trained":false', b'"trained":true'))
    assert_named(folder, "manifest.json says artifact_id", ArtifactMismatchError)


def test_a_renamed_directory_is_named_by_both_names(folder: Path) -> None:
    renamed = folder.rename(folder.with_name("production"))
    assert_named(renamed, f"its manifest says artifact_id {folder.name}", ArtifactMismatchError)


def test_a_link_to_an_artifact_opens(folder: Path) -> None:
    (folder.parent / "live").symlink_to(folder.name)
    assert open_artifact(folder.parent / "live").manifest.artifact_id == folder.name


def rewritten(folder: Path, **changes: object) -> None:
    """Gives the artifact a manifest that is sound but for what it says."""
    manifest = read_manifest(folder)
    fields = {name: getattr(manifest, name) for name in type(manifest).model_fields if name != "artifact_id"}
    sealed = seal(**fields | changes)
    (folder / MANIFEST).write_bytes(sealed.to_bytes())


@pytest.mark.parametrize("name", sorted(set(ALL_FILES) - {MANIFEST, "encoder/seed.txt"}))
def test_a_file_that_the_manifest_leaves_out_is_not_trusted(tmp_path: Path, name: str) -> None:
    """Else its bytes would be read unchecked."""
    staged = tmp_path / ".staged"
    write(staged, contents_of(VECTORS))
    files = dict(read_manifest(staged).files)
    del files[name]
    rewritten(staged, files=files)
    assert_named(staged, f"manifest.json lists no {name}", ArtifactMismatchError)


def test_the_manifest_never_names_a_file_outside(tmp_path: Path) -> None:
    staged = tmp_path / ".staged"
    manifest = write(staged, contents_of(VECTORS))
    (tmp_path / "outside").write_text("secret")
    raw = manifest.to_bytes().replace(b'"encoder/seed.txt"', b'"../outside"')
    (staged / MANIFEST).write_bytes(raw)
    assert_named(staged, "manifest.json: files", ArtifactCorruptError)


GOOD = contents_of(VECTORS)


@pytest.mark.parametrize(
    ("contents", "name"),
    [
        (replace(GOOD, items=GOOD.items[:5]), "item_embeddings.npy has shape (6, 64), the manifest says (5, 64)"),
        (replace(GOOD, embeddings=VECTORS[:5]), "item_embeddings.npy has shape (5, 64), the manifest says (6, 64)"),
        (replace(GOOD, popularity=np.zeros(7, np.float32)), "popularity.npy has shape (7,), the manifest says (6,)"),
        (replace(GOOD, index=build_index(VECTORS[:4], "flat", params={})), "index.faiss is a IndexFlatIP of 4 × 64"),
        (replace(GOOD, head=cosine_head(DIM, 5)), "relation_head.safetensors has theta (64,) and bias (5,)"),
        (replace(GOOD, head=cosine_head(5, 6)), "relation_head.safetensors has theta (5,) and bias (6,)"),
        (replace(GOOD, index=build_index(unit_rows(6, 5), "flat", params={})), "index.dim in manifest.json"),
    ],
)
def test_contents_that_contradict_each_other_are_named(tmp_path: Path, contents: ArtifactContents, name: str) -> None:
    staged = tmp_path / ".staged"
    write(staged, contents, encoder=facts_of(DIM))
    assert_named(staged, name)
