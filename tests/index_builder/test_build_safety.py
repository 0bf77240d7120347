"""Whatever stops a build, the live artifact stays as it is."""

import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from index_builder.build import build
from index_builder.config import load_config
from index_builder.lock import builder_lock
from index_builder.report import BuildReport
from index_builder.verify import verify_artifact
from models.artifact_store import ArtifactStore
from models.errors import ArtifactError, BuildLockedError, DataError, EncoderError
from tests.fakes import FakeEncoder, load_fake, prepare_fake
from tests.index_builder.shop import append, rebuild

ROOT = Path(__file__).parents[2]


def test_more_rejects_than_allowed_stop_the_build_and_leave_the_live_one(demo: Path, store: ArtifactStore) -> None:
    live, ids = store.current_id(), store.ids()
    append(demo / "items.jsonl", "{broken\n")  # one of 61 rows is over 1 %
    with pytest.raises(DataError, match="1 of 61 catalogue rows are bad") as caught:
        rebuild(demo)
    assert "catalogue.max_reject_share" in str(caught.value)
    assert (store.current_id(), store.ids()) == (live, ids)
    assert verify_artifact(store.folder(), load=load_fake)
    assert "{broken" in (store.root / "rejects" / "catalogue.jsonl").read_text()


class FailingEncoder(FakeEncoder):
    def encode_items(self, texts, on_done):
        raise EncoderError("out of memory")


def test_a_failing_encoder_leaves_the_live_one_and_no_leftovers(demo: Path, store: ArtifactStore) -> None:
    live, ids = store.current_id(), store.ids()
    with pytest.raises(EncoderError, match="out of memory"):
        rebuild(demo, seed=1, encoder=FailingEncoder())
    assert (store.current_id(), store.ids()) == (live, ids)
    assert not list(store.root.glob(".staging-*"))


def test_an_artifact_that_does_not_verify_is_not_published(demo: Path, store: ArtifactStore) -> None:
    """The query runtime drifts between the probe's vector and the check."""
    live, ids, loads = store.current_id(), store.ids(), iter(range(9))

    def drifting(folder: Path, facts: object, threads: int) -> FakeEncoder:
        return FakeEncoder(seed=next(loads))

    with pytest.raises(ArtifactError, match="probe text has cosine"):
        build(load_config(demo / "recall.toml"), prepare=prepare_fake(), load=drifting)
    assert (store.current_id(), store.ids()) == (live, ids)
    assert not list(store.root.glob(".staging-*"))


def test_a_build_deletes_what_keep_has_no_room_for(demo: Path, store: ArtifactStore) -> None:
    append(demo / "recall.toml", "\nkeep = 2\n")
    ids = [store.current_id()]
    reports = []
    for _ in range(3):
        reports.append(rebuild(demo))
        ids.append(reports[-1].artifact_id)
    assert [report.deleted for report in reports] == [[], [ids[0]], [ids[1]]]
    assert f"deleted old artifacts: {ids[1]}" in reports[-1].lines()
    assert store.ids() == ids[2:]
    assert (store.current_id(), store.previous_id()) == (ids[3], ids[2])


def test_two_builders_at_once_exclude_each_other(demo: Path, store: ArtifactStore) -> None:
    started, go_on = threading.Event(), threading.Event()

    class SlowEncoder(FakeEncoder):
        def encode_items(self, texts, on_done):
            started.set()
            assert go_on.wait(60)
            return super().encode_items(texts, on_done)

    first: list[BuildReport] = []
    thread = threading.Thread(target=lambda: first.append(rebuild(demo, seed=1, encoder=SlowEncoder(seed=1))))
    thread.start()
    try:
        assert started.wait(60)
        with pytest.raises(BuildLockedError, match=f"another builder is at work in {store.root}; wait"):
            rebuild(demo)
        assert len(list(store.root.glob(".staging-*"))) == 1  # the second one cleaned nothing of the first
    finally:
        go_on.set()
        thread.join()
    assert store.current_id() == first[0].artifact_id
    with builder_lock(store.root), pytest.raises(BuildLockedError):
        rebuild(demo)
    assert rebuild(demo, seed=1).n_encoded == 0


def test_a_builder_killed_at_any_moment_leaves_a_sound_live_artifact(built_demo: Path, tmp_path: Path) -> None:
    """The next build completes and cleans up."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(built_demo, tmp_path / name, symlinks=True))

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "tests.killed_builder", *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    old = ArtifactStore(built_demo / "artifacts").current_id()
    total = int(run(f"{copy('whole') / 'recall.toml'}:0"))
    moments = [*random.Random(20).sample(range(2, total - 5), 6), *range(total - 5, total + 1)]
    folders = {moment: copy(f"killed-{moment}") for moment in sorted(moments)}
    assert not run(*(f"{folder / 'recall.toml'}:{moment}" for moment, folder in folders.items()))
    left, live = 0, []
    for folder in folders.values():
        store = ArtifactStore(folder / "artifacts")
        left += any(store.root.glob(".staging-*"))
        live.append(store.current_id())
        for artifact_id in store.ids():
            assert verify_artifact(store.folder(artifact_id), load=load_fake)
        report = rebuild(folder, seed=1)
        assert report.n_encoded in ((0, 60) if live[-1] == old else (0,))  # what it had encoded stays
        assert store.current_id() == report.artifact_id
        assert verify_artifact(store.folder(old), load=load_fake)
        assert not list(store.root.glob(".staging-*"))
    assert left > 2
    assert live[0] == old  # they died on both sides of the swap
    assert live[-1] != old


def test_an_artifacts_folder_that_is_a_file_is_an_error_of_the_file_system(demo: Path, store: ArtifactStore) -> None:
    shutil.rmtree(store.root)
    store.root.write_text("")
    with pytest.raises(OSError, match="artifacts"):
        rebuild(demo)
