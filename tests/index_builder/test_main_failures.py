"""Failures of the command line: one line and exit code 1, or 2 for bad usage; asking for help is none."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from index_builder.lock import builder_lock
from models.artifact import read_manifest
from models.artifact_store import ArtifactStore
from models.manifest import FileFacts, seal
from tests.index_builder import command_line
from tests.index_builder.command_line import ROOT, Run, failed

run, built, shop = command_line.run, command_line.built, command_line.shop


def test_an_evaluation_without_interactions_is_one_line(shop: Path, run: Run) -> None:
    toml = (shop / "recall.toml").read_text()
    start, end = toml.index("[interactions]"), toml.index("[encoder]")
    (shop / "recall.toml").write_text(toml[:start] + toml[end:])
    assert "recall.toml has no [interactions]" in failed(run("evaluate", shop / "recall.toml"))


def test_a_builder_at_work_keeps_others_out(shop: Path, run: Run) -> None:
    store = ArtifactStore(shop / "artifacts")
    with builder_lock(store.root):
        assert "another builder is at work in" in failed(run("build", shop / "recall.toml"))
        assert "another builder is at work in" in failed(run("activate", store.current_id(), "--artifacts", store.root))


def test_an_unknown_key_and_its_nearest_match_are_named(shop: Path, run: Run) -> None:
    toml = (shop / "recall.toml").read_text()
    (shop / "recall.toml").write_text(toml.replace("attributes =", "atributes ="))
    err = failed(run("build", shop / "recall.toml"))
    assert "recall.toml: unknown key 'catalogue.atributes'; did you mean 'attributes'?" in err


def test_failures_are_one_line_each(shop: Path, run: Run, tmp_path: Path) -> None:
    assert "recall.toml does not exist" in failed(run("build", tmp_path / "recall.toml"))
    assert "has no live artifact; build one with" in failed(run("verify", "--artifacts", tmp_path / "absent"))
    (tmp_path / "a file").write_text("")
    assert "a file" in failed(run("build", shop / "recall.toml", "--artifacts", tmp_path / "a file"))
    (shop / "items.jsonl").unlink()
    assert "items.jsonl" in failed(run("build", shop / "recall.toml"))


def test_an_encoder_that_fails_is_one_line_though_its_library_says_more(shop: Path, run: Run) -> None:
    """OpenVINO's reasons have many lines."""
    store = ArtifactStore(shop / "artifacts")
    broken = store.folder() / "encoder" / "openvino_model.xml"
    broken.write_text("<net>\n</net>\n")
    manifest = read_manifest(store.folder())
    fields = {name: getattr(manifest, name) for name in type(manifest).model_fields if name != "artifact_id"}
    files = {
        **manifest.files,
        "encoder/openvino_model.xml": FileFacts(sha256=hashlib.sha256(broken.read_bytes()).hexdigest(), bytes=13),
    }
    sealed = seal(**fields | {"files": files})
    (store.folder() / "manifest.json").write_bytes(sealed.to_bytes())
    store.folder().rename(store.root / sealed.artifact_id)
    assert "holds no usable OpenVINO encoder" in failed(run("verify", sealed.artifact_id, "--artifacts", store.root))


def test_a_disk_without_room_for_the_encoder_is_one_line(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A build into an empty folder, since one with a live artifact links its encoder."""

    def fail(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer.save_pretrained", fail)
    err = failed(run("build", shop / "recall.toml", "--artifacts", tmp_path / "artifacts"))
    assert "encoder can't be written: Error while serializing: I/O error: No space left on device" in err
    assert "make room on its disk and run it again" in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([], "Usage"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["build"], "Missing argument 'recall.toml'"),
        (["build", "recall.toml", "--fast"], "No such option: --fast"),
        (["build", "recall.toml", "extra"], "unexpected extra argument"),
        (["build", "recall.toml", "--json", "no/such/folder/report.json"], "no/such/folder is no folder"),
        (["evaluate"], "Missing argument 'recall.toml'"),
        (["evaluate", "recall.toml", "--json", "no/such/folder/figures.json"], "no/such/folder is no folder"),
        (["evaluate", "recall.toml", "--html", "no/such/folder/page.html"], "no/such/folder is no folder"),
        (["activate"], "Missing argument 'ID'"),
        (["demo"], "Missing argument 'DIR'"),
        (["demo", "x", "--source", "redhat"], "'redhat' is none of auto, debian, small"),
        (["list", "--artifacts"], "requires an argument"),
    ],
)
def test_bad_usage_is_exit_code_2(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = run(*arguments)
    assert code == 2
    assert hint in out + err
    assert list(tmp_path.iterdir()) == []


def test_help_is_no_failure(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in ("build", "evaluate", "demo", "list", "verify", "activate", "rollback"))


def python_m(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "index_builder", *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_as_a_program_it_exits_alike(tmp_path: Path) -> None:
    assert python_m("list", "--artifacts", str(tmp_path)).returncode == 0
    failure = python_m("verify", "--artifacts", str(tmp_path))
    assert (failure.returncode, failure.stdout) == (1, "")
    assert failure.stderr.startswith(f"error: {tmp_path} has no live artifact")
    assert python_m("frobnicate").returncode == 2


def test_an_unknown_model_is_one_line_without_a_network(shop: Path) -> None:
    toml = (shop / "recall.toml").read_text().splitlines()
    at = next(n for n, line in enumerate(toml) if line.startswith("model ="))
    toml[at] = 'model = "nobody/no-such-model"'
    (shop / "recall.toml").write_text("\n".join(toml))
    live = ArtifactStore(shop / "artifacts").current_id()
    result = python_m("build", str(shop / "recall.toml"))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: model 'nobody/no-such-model' is no folder here and can't be fetched")
    assert result.stderr.count("\n") == 1
    assert ArtifactStore(shop / "artifacts").current_id() == live
    assert not list((shop / "artifacts").glob(".staging-*"))
