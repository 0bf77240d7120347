import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from index_builder.__main__ import main
from index_builder.demo import write_demo
from index_builder.evaluation_page import comparison_line
from index_builder.lock import builder_lock
from models.artifact import read_manifest
from models.artifact_store import ArtifactStore
from models.manifest import FileFacts, seal
from models.training.evaluation import Evaluation
from tests.index_builder.shop import REPORT_KEYS

ROOT = Path(__file__).parents[2]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["index_builder", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def failed(result: tuple[int, str, str]) -> str:
    """The one line of a failure."""
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


def use_model(folder: Path, model: Path) -> None:
    toml = (folder / "recall.toml").read_text()
    (folder / "recall.toml").write_text(toml.replace('"all-MiniLM-L6-v2"', json.dumps(str(model))))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The small demo with the tiny model, built by the command line itself; read only."""
    folder = tmp_path_factory.mktemp("cli")
    write_demo(folder, source="small")
    use_model(folder, tiny_model)
    command = [sys.executable, "-m", "index_builder", "build", folder / "recall.toml", "--json", folder / "report.json"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (folder / "stdout.txt").write_text(result.stdout)
    (folder / "stderr.txt").write_text(result.stderr)
    return folder


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))


def test_a_build_says_what_it_made_and_writes_its_report(built: Path) -> None:
    report = json.loads((built / "report.json").read_text())
    assert set(report) == REPORT_KEYS
    store = ArtifactStore(built / "artifacts")
    assert report["artifact_id"] == store.current_id()
    assert report["artifacts"] == str(store.root)
    assert (report["n_items"], report["n_encoded"]) == (60, 60)
    lines = (built / "stdout.txt").read_text().splitlines()
    assert lines[-1] == f"artifact {store.current_id()} is live in {store.root}"
    assert "60 items (60 texts encoded, 0 embeddings reused)" in lines


def test_away_from_a_terminal_progress_is_plain_lines(built: Path) -> None:
    """Libraries' own bars would fill a log with half-drawn lines."""
    err = (built / "stderr.txt").read_bytes()
    assert b"\nencoding: 60/60\n" in err
    assert b"\nencoding user texts: 220/220\nlearning: " in err
    assert re.search(rb"\nlearning: tower, epoch \d+ of at most \d+\n$", err)
    assert b"\r" not in err
    assert b"%|" not in err


def test_a_second_build_reuses_everything(shop: Path, run: Run) -> None:
    first = ArtifactStore(shop / "artifacts").current_id()
    code, out, _ = run("build", shop / "recall.toml")
    assert code == 0
    assert "60 items (0 texts encoded, 60 embeddings reused)" in out
    assert ArtifactStore(shop / "artifacts").open().manifest.parent == first


def test_an_evaluation_prints_tables_and_writes_figures_and_a_page(shop: Path, run: Run) -> None:
    before = ArtifactStore(shop / "artifacts").ids()
    json_file, page = shop / "figures.json", shop / "page.html"
    code, out, _ = run("evaluate", shop / "recall.toml", "--json", json_file, "--html", page)
    assert code == 0
    evaluation = Evaluation.model_validate_json(json_file.read_text())
    assert evaluation.data.n_items == 60
    for ranker in evaluation.rankers:
        assert ranker.name in out
    assert comparison_line(evaluation.comparisons[0]) in out
    assert f"Evaluation of {shop / 'recall.toml'}" in page.read_text()
    assert ArtifactStore(shop / "artifacts").ids() == before


def test_an_evaluation_without_interactions_is_one_line(shop: Path, run: Run) -> None:
    toml = (shop / "recall.toml").read_text()
    start, end = toml.index("[interactions]"), toml.index("[encoder]")
    (shop / "recall.toml").write_text(toml[:start] + toml[end:])
    assert "recall.toml has no [interactions]" in failed(run("evaluate", shop / "recall.toml"))


def test_artifacts_on_the_command_line_win_over_the_file(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    shutil.copytree(shop / "artifacts", shop / "elsewhere", symlinks=True)
    code, out, _ = run("build", "recall.toml", "--artifacts", "elsewhere")
    assert code == 0
    assert f"is live in {shop / 'elsewhere'}" in out
    assert len(ArtifactStore(shop / "elsewhere").ids()) == 2
    assert len(ArtifactStore(shop / "artifacts").ids()) == 1


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


def test_the_demo_is_written_and_says_what_it_is(tmp_path: Path, run: Run) -> None:
    code, out, _ = run("demo", tmp_path / "demo", "--source", "small", "--artifacts", tmp_path / "x y")
    assert code == 0
    assert "60 items, 40 users, 172 interactions" in out
    assert f'artifacts = "{tmp_path / "x y"}"' in (tmp_path / "demo" / "recall.toml").read_text()


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


def test_a_night_that_the_gate_refuses_is_exit_1_with_a_line_that_says_why_and_its_reports(
    shop: Path, run: Run
) -> None:
    before, lines = ArtifactStore(shop / "artifacts").current_id(), (shop / "items.jsonl").read_text().splitlines()
    code, out, _ = run("nightly", shop / "recall.toml", "--json", shop / "night.json")
    assert code == 0
    assert (
        out.splitlines()[-1] == f"nothing changed since artifact {before} was built: nothing is encoded, nothing fitted"
    )
    (shop / "items.jsonl").write_text("\n".join(lines[:40]) + "\n")
    files = ("--json", shop / "night.json", "--html", shop / "gate.html")
    code, out, err = run("nightly", shop / "recall.toml", *files)
    assert code == 1
    assert err.splitlines()[-1].startswith(
        f"error: the gate says no, {before} stays live: 40 items instead of 60, -33.3%"
    )
    assert "gate: NO: 40 items instead of 60" in out
    report = json.loads((shop / "night.json").read_text())
    assert (report["outcome"], report["live"], report["build"]) == ("refused", before, None)
    assert report["gate"]["passed"] is False
    assert "the gate says no" in (shop / "gate.html").read_text()
    assert ArtifactStore(shop / "artifacts").current_id() == before
    code, out, _ = run("nightly", shop / "recall.toml", "--force")
    assert code == 0
    assert out.splitlines()[-1].startswith("artifact ")
    assert ArtifactStore(shop / "artifacts").current_id() != before
