"""Metrics and logs: names that others rely on, numbers that add up, lines that are JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.app.harness import serving

ROOT = Path(__file__).parents[2]
# As the operations page has them.
METRICS = {
    "recall_requests_total": {"route", "status"},
    "recall_request_seconds": {"route"},
    "recall_stage_seconds": {"stage"},
    "recall_cache_total": {"outcome"},
    "recall_degraded_total": {"what"},
    "recall_fallbacks_total": {"kind"},
    "recall_events_total": {"outcome"},
    "recall_errors_total": {"type"},
    "recall_artifact_items": {"artifact_id"},
    "recall_artifact_swaps_total": {"outcome"},
    "recall_artifact_refused": set(),
    "recall_live_items": set(),
}
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(client: httpx.AsyncClient) -> Samples:
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parse(response.text)


def python(code: str, **environment: str) -> str:
    """Runs code in a process of its own and returns what it writes to stdout."""
    whole = {**os.environ, **environment}
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=whole, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


async def test_the_names_and_labels_are_the_documented_ones(client):
    for body in ({"text": "b " * 300}, {}, {"k": 0}):
        await client.post("/recall", json=body)
    await client.post("/feedback", json={"events": [None]})
    samples = await scrape(client)
    for name, labels in METRICS.items():
        found = [dict(pairs) for (sample, pairs) in samples if sample.removesuffix("_count") == name]
        assert found, name
        assert all(one.keys() == labels for one in found), name
    assert any(name == "recall_redis_up" for name, _ in samples)
    ours = {name for name, _ in samples if name.startswith("recall_") and not name.endswith(("_bucket", "_created"))}
    assert {name.removesuffix("_sum").removesuffix("_count") for name in ours} == {*METRICS, "recall_redis_up"}
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert all(f"`{name}`" in operations for name in METRICS)


async def test_what_happens_is_counted(client):
    async def counted(body: object) -> Samples:
        before = await scrape(client)
        await client.post("/recall", json=body)
        after = await scrape(client)
        return {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}

    miss = await counted({"text": "never asked before", "k": 1})
    assert miss["recall_cache_total", (("outcome", "miss"),)] == 1
    assert {dict(pairs).get("stage") for name, pairs in miss if name == "recall_stage_seconds_count"} == {
        "encode",
        "search",
        "rescore",
    }
    hit = await counted({"text": "never asked before", "k": 1, "rescore": False})
    assert hit["recall_cache_total", (("outcome", "hit"),)] == 1
    assert ("recall_stage_seconds_count", (("stage", "rescore"),)) not in hit
    unknown = await counted({"k": 1})
    assert unknown["recall_fallbacks_total", (("kind", "popular"),)] == 1
    assert not any(name == "recall_cache_total" for name, _ in unknown)  # it has no text to look up
    assert ("recall_stage_seconds_count", (("stage", "encode"),)) not in unknown
    cut = await counted({"text": "b " * 300, "k": 1})
    assert cut["recall_degraded_total", (("what", "text_truncated"),)] == 1
    wrong = await counted({"k": 0})
    assert wrong["recall_errors_total", (("type", "invalid_request"),)] == 1
    assert wrong["recall_requests_total", (("route", "/recall"), ("status", "422"))] == 1


async def test_requests_of_a_batch_are_counted_each(client):
    before = await scrape(client)
    await client.post("/recall/batch", json={"requests": [{"k": 1}, {"k": 1}, {"k": 0}]})
    after = await scrape(client)

    def grown(*key: object) -> float:
        return after[key] - before.get(key, 0)

    assert grown("recall_fallbacks_total", (("kind", "popular"),)) == 2
    assert grown("recall_errors_total", (("type", "invalid_request"),)) == 1
    assert grown("recall_requests_total", (("route", "/recall/batch"), ("status", "200"))) == 1


async def test_the_artifact_that_is_served_is_shown(engine):
    async with serving(engine) as client:
        samples = await scrape(client)
    assert samples["recall_artifact_items", (("artifact_id", engine.artifact_id),)] == 60


def test_the_processes_of_one_service_are_summed(tmp_path):
    code = "from app import telemetry as t; t.FALLBACKS.labels('popular').inc({n}); t.CACHE_UP.set({up})"
    for n, up in ((2, 0), (3, 1)):
        python(code.format(n=n, up=up), PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    whole = "from app import telemetry as t; t.CACHE_UP.set(1); print(t.exposition().decode())"
    samples = parse(python(whole, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)))
    assert samples["recall_fallbacks_total", (("kind", "popular"),)] == 5
    assert samples["recall_redis_up", ()] == 1  # the one who just looked knows best


LOGGING = """
import logging, structlog
from app.telemetry import configure_logging
configure_logging({level!r})
structlog.get_logger("x").info("quiet", text='a "quoted" word')
structlog.get_logger("x").error("loud", number=1)
logging.getLogger("library").info("not shown")
logging.getLogger("library").warning('a "quoted" %s', "word")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("library").exception("broken")
"""


@pytest.mark.parametrize(("level", "quiet"), [("info", ["quiet"]), ("error", [])])
def test_every_line_of_the_log_is_json(level, quiet):
    lines = [json.loads(line) for line in python(LOGGING.format(level=level)).splitlines()]
    assert [line["event"] for line in lines] == [*quiet, "loud", 'a "quoted" word', "broken"]
    levels = [line["level"] for line in lines]
    assert levels == [*["info"] * len(quiet), "error", "warning", "error"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "ZeroDivisionError" in lines[-1]["exception"]
