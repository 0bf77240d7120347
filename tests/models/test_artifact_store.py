import os
import shutil
from pathlib import Path

import pytest

from index_builder.build import build
from index_builder.config import load_config
from index_builder.lock import builder_lock
from models.activations import HISTORY
from models.artifact import MANIFEST
from models.artifact_store import CURRENT, ArtifactStore
from models.errors import ArtifactCorruptError, ArtifactError, ArtifactMissingError
from tests.artifacts import contents_of, publish, unit_rows, write
from tests.fakes import load_fake, prepare_fake

CONTENTS = contents_of(unit_rows(3, 4))
OPEN_FILES = Path("/proc/self/fd")
# What activation puts beside the artifacts.
POINTER = {CURRENT, HISTORY, ".current.lock"}


@pytest.fixture
def empty(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def three(empty: ArtifactStore) -> tuple[ArtifactStore, list[str]]:
    """Three artifacts in the order of their making; the second is live."""
    ids = [publish(empty, CONTENTS) for _ in range(3)]
    empty.activate(ids[1])
    return empty, ids


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def test_before_the_first_artifact_there_is_none(empty: ArtifactStore) -> None:
    assert empty.current_id() is None
    assert empty.ids() == []
    assert not empty.root.exists()
    with pytest.raises(ArtifactMissingError, match="has no live artifact; build one with"):
        empty.open()
    with pytest.raises(ArtifactMissingError, match="has no artifact 'x'; it has none"):
        empty.folder("x")


def test_what_is_published_is_there_and_only_activation_makes_it_live(empty: ArtifactStore) -> None:
    with empty.staging() as staged:
        manifest = write(staged, CONTENTS)
        assert empty.ids() == []
        folder = empty.publish(staged, manifest)
        assert not staged.exists()
    assert folder == empty.root / manifest.artifact_id
    assert empty.ids() == [manifest.artifact_id]
    assert empty.current_id() is None
    empty.activate(manifest.artifact_id)
    assert empty.current_id() == manifest.artifact_id
    assert empty.open().manifest == manifest
    assert names(empty.root) == {manifest.artifact_id, *POINTER}


def test_the_pointer_is_relative_so_that_the_folder_can_be_moved(three: tuple[ArtifactStore, list[str]]) -> None:
    store, ids = three
    moved = ArtifactStore(store.root.rename(store.root.with_name("elsewhere")))
    assert moved.current_id() == ids[1]
    assert moved.open().manifest.artifact_id == ids[1]


def test_activating_another_and_back_moves_nothing_but_the_pointer(three: tuple[ArtifactStore, list[str]]) -> None:
    store, ids = three
    for artifact_id in (ids[2], ids[2], ids[0], ids[1]):
        store.activate(artifact_id)
        assert store.current_id() == artifact_id
        assert names(store.root) == {*ids, *POINTER}


def test_the_pointer_is_never_absent_while_it_changes(
    three: tuple[ArtifactStore, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step of the file system a reader finds one artifact or the other."""
    store, ids = three
    seen: list[str | None] = []
    for owner, name in ((Path, "unlink"), (Path, "symlink_to"), (Path, "replace"), (os, "fsync")):
        real = getattr(owner, name)

        def spied(*args: object, real=real, **kwargs: object) -> object:
            seen.append(store.current_id())
            result = real(*args, **kwargs)
            seen.append(store.current_id())
            return result

        monkeypatch.setattr(owner, name, spied)
    store.activate(ids[0])
    assert set(seen) == {ids[0], ids[1]}
    assert seen == sorted(seen, key=[ids[1], ids[0]].index)


def test_artifacts_are_listed_oldest_first(three: tuple[ArtifactStore, list[str]]) -> None:
    store, ids = three
    assert store.ids() == ids


def test_damaged_artifacts_are_listed_before_the_others(three: tuple[ArtifactStore, list[str]]) -> None:
    store, ids = three
    (store.root / ids[2] / MANIFEST).write_text("{}")
    (store.root / ids[1] / MANIFEST).unlink()
    assert store.ids() == [*sorted(ids[1:]), ids[0]]
    assert store.current_id() == ids[1]
    for damaged in ids[1:]:
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            store.open(damaged)


def test_what_is_no_artifact_is_not_listed(three: tuple[ArtifactStore, list[str]]) -> None:
    store, ids = three
    (store.root / "rejects").mkdir()
    (store.root / "lost+found").mkdir()
    (store.root / ".staging-x").mkdir()
    (store.root / ".staging-x" / MANIFEST).write_text("{}")
    (store.root / "0123456789abcdef").write_text("a file")
    (store.root / "fedcba9876543210").symlink_to(ids[0])
    assert store.ids() == ids


@pytest.mark.parametrize("artifact_id", ["current", ".staging-x", ".", "..", "a/b", "../artifacts", "0" * 16])
def test_what_names_no_artifact_is_not_activated(three: tuple[ArtifactStore, list[str]], artifact_id: str) -> None:
    """The pointer's own name would make it point to itself."""
    store, ids = three
    shutil.copytree(store.root / ids[0], store.root / ".staging-x")
    for use in (store.folder, store.open, store.activate):
        with pytest.raises(ArtifactMissingError, match="has no artifact") as caught:
            use(artifact_id)
        assert ", ".join(ids) in str(caught.value)
    assert store.current_id() == ids[1]
    store.open()


def test_a_pointer_to_nothing_is_named(three: tuple[ArtifactStore, list[str]]) -> None:
    store, ids = three
    shutil.rmtree(store.root / ids[1])
    with pytest.raises(ArtifactMissingError, match=f"has no artifact '{ids[1]}'; it has {ids[0]}, {ids[2]}"):
        store.open()
    store.activate(ids[0])
    assert store.open().manifest.artifact_id == ids[0]


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_a_pointer_that_is_no_link_is_named(three: tuple[ArtifactStore, list[str]], make) -> None:
    """As after `cp -rL`, or in an archive that has no links."""
    store, ids = three
    (store.root / CURRENT).unlink()
    make(store.root / CURRENT)
    with pytest.raises(ArtifactCorruptError, match="current is no symbolic link"):
        store.open()
    assert store.open(ids[0]).manifest.artifact_id == ids[0]


def test_an_unfinished_artifact_is_gone_after_its_block(empty: ArtifactStore) -> None:
    def interrupted() -> None:
        with empty.staging() as staged:
            write(staged, CONTENTS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(empty.root.iterdir()) == []


def test_a_staged_artifact_can_be_read_by_a_service_that_runs_as_another_user(empty: ArtifactStore) -> None:
    with empty.staging() as staged:
        assert staged.stat().st_mode & 0o777 == 0o755
        assert staged.parent == empty.root


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="needs Linux' list of open files")
def test_everything_is_durable_before_it_gets_its_name(empty: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(str((OPEN_FILES / str(fd)).readlink())), fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda path, to: (events.append("rename"), rename(path, to))[1])
    with empty.staging() as staged:
        manifest = write(staged, CONTENTS)
        wanted = {str(staged), *(str(path) for path in staged.rglob("*"))}
        empty.publish(staged, manifest)
    before, after = events[: events.index("rename")], events[events.index("rename") + 1 :]
    assert set(before) == wanted
    assert after == [str(empty.root)]


def test_cleaning_deletes_leftovers_and_nothing_else(three: tuple[ArtifactStore, list[str]]) -> None:
    store, ids = three
    (store.root / ".staging-a" / "encoder").mkdir(parents=True)
    (store.root / ".staging-a" / "encoder" / "weights").write_text("x")
    os.link(store.root / ids[0] / "index.faiss", store.root / ".staging-a" / "index.faiss")
    (store.root / ".staging-current").symlink_to(ids[2])
    (store.root / ".staging-history.json").write_text("{")
    (store.root / ".lock").touch()
    (store.root / "rejects").mkdir()
    assert store.clean() == [".staging-a", ".staging-current", ".staging-history.json"]
    assert names(store.root) == {*ids, *POINTER, ".lock", "rejects"}
    assert all(store.open(artifact_id) for artifact_id in ids)
    assert store.clean() == []


def test_cleaning_before_the_first_artifact_is_nothing(empty: ArtifactStore) -> None:
    assert empty.clean() == []


def test_a_build_cleans_and_links_to_its_parent(demo: Path, store: ArtifactStore) -> None:
    build(load_config(demo / "recall.toml"), prepare=prepare_fake(), load=load_fake)
    parent = store.open()
    (store.root / ".staging-dead").mkdir()
    build(load_config(demo / "recall.toml"), prepare=prepare_fake(), load=load_fake)
    child = store.open()
    assert child.manifest.parent == parent.manifest.artifact_id
    assert all((child.folder / name).samefile(parent.folder / name) for name in child.manifest.files)
    assert not list(store.root.glob(".staging-*"))


def test_the_lock_is_free_again_after_an_error(empty: ArtifactStore) -> None:
    with pytest.raises(ZeroDivisionError), builder_lock(empty.root):
        _ = 1 / 0
    with builder_lock(empty.root):
        pass
