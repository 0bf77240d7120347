"""The commands about artifacts that are there: `list`, `verify`, `activate` and `rollback`."""

from pathlib import Path

import pytest

from models.artifact_store import ArtifactStore
from tests.index_builder import command_line
from tests.index_builder.command_line import Run, failed

run, built, shop = command_line.run, command_line.built, command_line.shop


def test_a_list_shows_every_artifact_and_marks_the_live_one(shop: Path, run: Run) -> None:
    store = ArtifactStore(shop / "artifacts")
    run("build", shop / "recall.toml")
    first, second = store.ids()
    code, out, err = run("list", "--artifacts", store.root)
    assert (code, err) == (0, "")
    header, one, other = out.splitlines()
    assert header.split() == ["artifact", "created", "items", "index", "encoder", "parent"]
    created = store.open(first).manifest.created_at
    assert one.split() == [first, created, "60", "flat", "tiny", "-"]
    assert other.split()[:2] == ["*", second]
    assert other.split()[-1] == first


def test_a_list_shows_damaged_artifacts_too(shop: Path, run: Run) -> None:
    store = ArtifactStore(shop / "artifacts")
    manifest = store.folder() / "manifest.json"
    manifest.write_text("{}")
    code, out, _ = run("list", "--artifacts", store.root)
    assert code == 0
    assert f"*  {store.current_id()}  damaged: artifact {store.current_id()}: manifest.json is no manifest" in out
    manifest.unlink()
    code, out, _ = run("list", "--artifacts", store.root)
    assert code == 0
    assert f"*  {store.current_id()}  damaged: " in out


def test_a_list_of_nothing_is_empty(tmp_path: Path, run: Run) -> None:
    code, out, err = run("list", "--artifacts", tmp_path / "absent")
    assert (code, len(out.splitlines()), err) == (0, 1, "")
    assert not (tmp_path / "absent").exists()


def test_verify_counts_what_it_checked(built: Path, run: Run) -> None:
    store = ArtifactStore(built / "artifacts")
    artifact = store.open()
    sound = f"artifact {store.current_id()} is sound: {len(artifact.manifest.files)} files, 60 items\n"
    assert run("verify", "--artifacts", store.root) == (0, sound, "")
    assert run("verify", store.current_id(), "--artifacts", store.root) == (0, sound, "")


@pytest.mark.parametrize("name", ["manifest.json", "item_ids.json", "encoder/openvino_model.bin"])
def test_verify_names_a_damaged_file(shop: Path, run: Run, name: str) -> None:
    path = ArtifactStore(shop / "artifacts").folder() / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert name in failed(run("verify", "--artifacts", shop / "artifacts"))
    path.unlink()
    assert name in failed(run("verify", "--artifacts", shop / "artifacts"))


def test_activate_goes_back_after_verifying(shop: Path, run: Run) -> None:
    store = ArtifactStore(shop / "artifacts")
    run("build", shop / "recall.toml")
    first, second = store.ids()
    assert run("activate", first, "--artifacts", store.root) == (0, f"artifact {first} is live in {store.root}\n", "")
    assert store.current_id() == first
    path = store.folder(second) / "popularity.npy"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])
    assert "popularity.npy" in failed(run("activate", second, "--artifacts", store.root))
    assert store.current_id() == first


def test_rollback_goes_back_and_again_further_back(shop: Path, run: Run) -> None:
    store = ArtifactStore(shop / "artifacts")
    ids = [store.current_id()]
    for _ in range(2):
        assert run("build", shop / "recall.toml")[0] == 0
        ids.append(store.current_id())
    for live, previous in ((ids[2], ids[1]), (ids[1], ids[0])):
        code, out, _ = run("rollback", "--artifacts", store.root)
        assert (code, out) == (0, f"artifact {previous} is live in {store.root} again, instead of {live}\n")
        assert store.current_id() == previous
    assert f"was live before {ids[0]}" in failed(run("rollback", "--artifacts", store.root))


def test_rollback_leaves_a_damaged_artifact_alone(shop: Path, run: Run) -> None:
    store = ArtifactStore(shop / "artifacts")
    first = store.current_id()
    run("build", shop / "recall.toml")
    second = store.current_id()
    (store.root / str(first) / "popularity.npy").unlink()
    assert "popularity.npy" in failed(run("rollback", "--artifacts", store.root))
    assert store.current_id() == second


@pytest.mark.parametrize("artifact_id", ["current", "0000000000000000", "../shop", "rejects"])
def test_what_is_no_artifact_is_not_activated(shop: Path, run: Run, artifact_id: str) -> None:
    store = ArtifactStore(shop / "artifacts")
    (store.root / "rejects").mkdir(exist_ok=True)
    live = store.current_id()
    assert "has no" in failed(run("activate", artifact_id, "--artifacts", store.root))
    assert store.current_id() == live
    assert store.open()
