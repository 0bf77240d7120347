"""Documentation that can't rot: what users program against is documented, and the README's examples run."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from app import telemetry  # noqa: F401  # registers the metrics
from app.engine import Engine
from app.errors import STATUS
from app.factory import create_app
from app.routes import limits
from app.schemas import RecallAnswer, RecallRequest
from app.settings import PREFIX, ServiceSettings
from index_builder.__main__ import cli
from index_builder.config import BuildConfig, load_config
from index_builder.nightly import NightReport
from index_builder.report import BuildReport
from index_builder.verdict import Figure, Verdict, Worse
from models import artifact
from models.learnt import LEARNT_FILES
from models.manifest import Manifest
from models.training.baselines import all_baselines
from models.training.baselines.base import MAX_TRIALS
from models.training.evaluation import (
    Comparison,
    Cost,
    DataFacts,
    Evaluation,
    LossCurve,
    PoolFacts,
    RankerResult,
    Ratio,
    SliceResult,
    TaskResult,
)

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def doc(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", ServiceSettings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    """Its row has the variable, and its description as the code has it."""
    row = next(line for line in doc("settings").splitlines() if f"`{PREFIX}{name.upper()}`" in line)
    assert ServiceSettings.model_fields[name].description in row


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = set(re.findall(rf"`{PREFIX}(\w+)`", doc("settings")))
    assert documented == {name.upper() for name in ServiceSettings.model_fields}


def test_every_error_type_is_documented() -> None:
    section = doc("api").split("## Errors")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", section, re.MULTILINE)
    documented = {(word, int(status)) for word, status in rows}
    raised = {(word, status) for status, word, _ in STATUS.values()}
    assert raised | {("not_found", 404), ("method_not_allowed", 405)} == documented


def test_every_request_and_answer_field_is_documented() -> None:
    for name in (*RecallRequest.model_fields, *RecallAnswer.model_fields):
        assert f"`{name}`" in doc("api"), name


def test_documented_limits_are_the_enforced_ones() -> None:
    text = doc("api")
    enforced = limits()
    assert "8 MiB" in text
    assert enforced["body_bytes"] == 8 * 1024 * 1024
    for name in ("k", "batch_requests", "history_ids", "texts", "text_characters"):
        assert f"{enforced[name]:,}" in text or str(enforced[name]) in text, name


def test_every_metric_is_documented() -> None:
    names = [metric.name for metric in REGISTRY.collect() if metric.name.startswith("recall_")]
    assert names
    for name in names:
        assert f"`{name}" in doc("operations"), name


def test_every_manifest_field_and_file_is_documented() -> None:
    text = doc("artifact-format")
    for name in Manifest.model_fields:
        assert f"| `{name}` |" in text, name
    for constant in ("ITEM_IDS", "ITEM_FIELDS", "FIELD_OFFSETS", "TEXT_HASHES", "EMBEDDINGS", "POPULARITY", "INDEX"):
        assert getattr(artifact, constant) in text
    for name in LEARNT_FILES:
        assert name in text


def test_every_key_of_recall_toml_is_documented() -> None:
    for section, field in BuildConfig.model_fields.items():
        types = (field.annotation, *getattr(field.annotation, "__args__", ()))
        model = next(kind for kind in types if hasattr(kind, "model_fields"))
        for key in model.model_fields:
            row = rf"`(?:{section})?\.{key}`"
            assert re.search(row, doc("building")), f"{section}.{key}"


def test_every_report_key_and_command_is_documented() -> None:
    for name in BuildReport.model_fields:
        assert f"`{name}`" in doc("building"), name
    for command in cli.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        assert f"`python -m index_builder {name}" in doc("building"), name


def test_every_key_of_a_night_is_documented() -> None:
    text = doc("building")
    for model in (NightReport, Verdict, Figure, Worse):
        for name in (*model.model_fields, *model.model_computed_fields):
            assert f"`{name}`" in text, name


def test_every_key_of_an_evaluation_and_every_baseline_is_documented() -> None:
    text = doc("evaluation")
    parts = (DataFacts, RankerResult, TaskResult, SliceResult, Comparison, Ratio, PoolFacts, Cost, LossCurve)
    for model in (Evaluation, *parts):
        for name in model.model_fields:
            assert f"`{name}`" in text, name
    for baseline in all_baselines([], {}):
        assert f"| `{baseline.name}`" in text, baseline.name
    assert f"at most {MAX_TRIALS} settings each" in text


def test_links_between_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_readme_curl_runs_and_answers_as_shown(engine: Engine) -> None:
    """The request of the README gets an answer with the very keys that the README shows."""
    curl = next(block for block in blocks(README, "sh") if "/recall" in block)
    match = re.search(r"-d '(.*?)'", curl, re.DOTALL)
    assert match is not None
    shown = json.loads(blocks(README, "json")[0])
    with TestClient(create_app(ServiceSettings(), engine=engine)) as client:
        answer = client.post("/recall", json=json.loads(match[1]))
    assert answer.status_code == 200
    assert _shape(answer.json()) == _shape(shown)


def test_the_readme_calls_of_events_and_items_answer_as_shown(engine: Engine, tmp_path: Path) -> None:
    section = README.split("## What users do, and what changes")[1].split("\n## ")[0]
    calls = re.findall(r"curl -s(?: -X (\w+))? http://127.0.0.1:8000(\S+)([^\n]*\n?[^\n]*)", section)
    shown = [answer for block in blocks(section, "json") for answer in _documents(block)]
    assert len(calls) == len(shown) == 4
    with TestClient(create_app(ServiceSettings(state=tmp_path), engine=engine)) as client:
        for (method, path, rest), expected in zip(calls, shown, strict=True):
            # An item that the tests' catalogue has.
            body = re.search(r"-d '(.*?)'", rest.replace("python3-flask", engine.artifact.item_ids[0]))
            answer = client.request(method or "POST", path, json=json.loads(body[1]) if body else None)
            assert answer.status_code < 300, answer.text
            assert _shape(answer.json()) == _shape(expected)


def test_the_readme_recall_toml_loads(tmp_path: Path) -> None:
    (block,) = blocks(README, "toml")
    assert len(tomllib.loads(block)) == 3
    (tmp_path / "recall.toml").write_text(block)
    load_config(tmp_path / "recall.toml")


def test_the_readme_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile
    names = {command.name or command.callback.__name__ for command in cli.registered_commands}  # type: ignore[union-attr]
    assert set(re.findall(r"-m index_builder (\w+)", README)) <= names


def _documents(text: str) -> list[Any]:
    """Returns the JSON documents that follow each other in a text."""
    found, rest = [], text.strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return "number" if isinstance(value, int | float) else type(value).__name__
