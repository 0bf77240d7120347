"""The way back, and how many artifacts stay."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from models.activations import HISTORY
from models.artifact_store import CURRENT, ArtifactStore
from models.errors import NoPreviousArtifactError
from tests.artifacts import contents_of, publish, unit_rows

VECTORS = unit_rows(3, 4)
CONTENTS = contents_of(VECTORS)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def ids(store: ArtifactStore) -> list[str]:
    """Five artifacts, each activated after the other."""
    made = []
    for _ in range(5):
        made.append(publish(store, CONTENTS))
        store.activate(made[-1])
    return made


def roll_back(store: ArtifactStore) -> str:
    previous = store.previous_id()
    store.roll_back(previous)
    assert store.current_id() == previous
    return previous


def test_rolling_back_again_goes_further_back_until_there_is_nothing(store: ArtifactStore, ids: list[str]) -> None:
    assert [roll_back(store) for _ in range(4)] == ids[3::-1]
    with pytest.raises(NoPreviousArtifactError, match=f"was live before {ids[0]}; .*activate ID"):
        store.previous_id()
    assert store.current_id() == ids[0]


def test_what_was_rolled_back_from_is_not_the_way_back(store: ArtifactStore, ids: list[str]) -> None:
    roll_back(store)
    store.activate(new := publish(store, CONTENTS))
    assert store.current_id() == new
    assert roll_back(store) == ids[3]
    assert roll_back(store) == ids[2]


def test_activating_the_live_one_changes_nothing(store: ArtifactStore, ids: list[str]) -> None:
    before = (store.root / HISTORY).read_bytes()
    store.activate(ids[4])
    assert (store.root / HISTORY).read_bytes() == before
    assert store.previous_id() == ids[3]


def test_deleted_artifacts_are_passed_over(store: ArtifactStore, ids: list[str]) -> None:
    shutil.rmtree(store.root / ids[3])
    shutil.rmtree(store.root / ids[2])
    assert roll_back(store) == ids[1]


def test_before_the_first_activation_there_is_no_way_back(store: ArtifactStore) -> None:
    with pytest.raises(NoPreviousArtifactError, match="was live before the first; it has none"):
        store.previous_id()


def test_without_a_history_there_is_no_way_back_but_there_is_a_next_one(store: ArtifactStore, ids: list[str]) -> None:
    (store.root / HISTORY).write_text("{")
    with pytest.raises(NoPreviousArtifactError):
        store.previous_id()
    store.activate(ids[0])
    assert store.previous_id() == ids[4]


def test_who_looked_at_another_one_does_not_roll_back(store: ArtifactStore, ids: list[str]) -> None:
    with pytest.raises(NoPreviousArtifactError, match=f"{ids[1]} was the previous .*{ids[3]}"):
        store.roll_back(ids[1])
    assert store.current_id() == ids[4]


def test_many_at_once_leave_one_trail(store: ArtifactStore, ids: list[str]) -> None:
    barrier = threading.Barrier(8)

    def activate(number: int) -> None:
        barrier.wait()
        for step in range(10):
            store.activate(ids[(number + step) % 5])

    threads = [threading.Thread(target=activate, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.current_id() in ids
    assert store.previous_id() in ids
    assert not list(store.root.glob(".staging-*"))


@pytest.mark.parametrize("dies_in", ["write_history", "symlink_to", "replace"])
def test_a_writer_that_dies_leaves_a_way_back(
    store: ArtifactStore, ids: list[str], monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    def die(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    new = publish(store, CONTENTS)
    with monkeypatch.context() as patch:
        if dies_in == "write_history":
            patch.setattr("models.artifact_store.write_history", die)
        else:
            patch.setattr(Path, dies_in, die)
        with pytest.raises(KeyboardInterrupt):
            store.activate(new)
    assert (store.current_id(), store.previous_id()) == (ids[4], ids[3])
    store.activate(new)
    assert (store.current_id(), store.previous_id()) == (new, ids[4])


def test_a_roll_back_that_dies_half_way_is_done(
    store: ArtifactStore, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("models.artifact_store.write_history", die)
        with pytest.raises(KeyboardInterrupt):
            store.roll_back(ids[3])
    assert (store.current_id(), store.previous_id()) == (ids[3], ids[2])


# How many stay


def test_the_newest_stay_and_the_rest_is_deleted(store: ArtifactStore, ids: list[str]) -> None:
    assert store.prune(3) == ids[:2]
    assert store.ids() == ids[2:]
    assert store.prune(3) == []
    assert not list(store.root.glob(".staging-*"))


def test_the_live_and_the_previous_one_stay_whatever_their_age(store: ArtifactStore, ids: list[str]) -> None:
    store.activate(ids[1])
    store.activate(ids[0])
    assert store.prune(1) == ids[2:4]
    assert store.ids() == [ids[0], ids[1], ids[4]]
    assert store.previous_id() == ids[1]


def test_damaged_ones_go_first_and_other_things_stay(store: ArtifactStore, ids: list[str]) -> None:
    (store.root / ids[3] / "manifest.json").write_text("{}")
    store.activate(ids[2])
    store.activate(ids[4])
    (store.root / "rejects").mkdir()
    (store.root / ".lock").touch()
    assert store.prune(4) == [ids[3]]
    assert {path.name for path in store.root.iterdir()} >= {"rejects", ".lock", HISTORY, CURRENT}


def test_an_opened_artifact_works_on_after_its_files_are_gone(store: ArtifactStore, ids: list[str]) -> None:
    """As long as a service has it mapped, the system keeps the bytes."""
    opened = store.open(ids[0])
    assert store.prune(1) == ids[:3]
    assert not opened.folder.exists()
    np.testing.assert_array_equal(opened.embeddings, VECTORS)
    assert [opened.fields.get(row)["title"] for row in range(3)] == ["Title 0", "Title 1", "Title 2"]
    assert opened.index.search(VECTORS[2], 1)[0].tolist() == [2]


def test_deletion_that_was_cut_short_leaves_no_half_artifact(
    store: ArtifactStore, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path, **options: (path / "manifest.json").unlink())
        store.prune(4)
    assert store.ids() == ids[1:]
    assert store.clean() == [f".staging-deleted-{ids[0]}"]
