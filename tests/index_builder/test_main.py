"""The commands that make something: what `build`, `evaluate`, `demo` and `nightly` say and write."""

import json
import re
import shutil
from pathlib import Path

import pytest

from index_builder.evaluation_page import comparison_line
from models.artifact_store import ArtifactStore
from models.training.evaluation import Evaluation
from tests.index_builder import command_line
from tests.index_builder.command_line import Run
from tests.index_builder.shop import REPORT_KEYS

run, built, shop = command_line.run, command_line.built, command_line.shop


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


def test_artifacts_on_the_command_line_win_over_the_file(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    shutil.copytree(shop / "artifacts", shop / "elsewhere", symlinks=True)
    code, out, _ = run("build", "recall.toml", "--artifacts", "elsewhere")
    assert code == 0
    assert f"is live in {shop / 'elsewhere'}" in out
    assert len(ArtifactStore(shop / "elsewhere").ids()) == 2
    assert len(ArtifactStore(shop / "artifacts").ids()) == 1


def test_the_demo_is_written_and_says_what_it_is(tmp_path: Path, run: Run) -> None:
    code, out, _ = run("demo", tmp_path / "demo", "--source", "small", "--artifacts", tmp_path / "x y")
    assert code == 0
    assert "60 items, 40 users, 172 interactions" in out
    assert f'artifacts = "{tmp_path / "x y"}"' in (tmp_path / "demo" / "recall.toml").read_text()


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
