"""What every request leaves behind: its line in the log, and metrics."""

import pytest

from app.schemas import MAX_BODY_BYTES
from app.telemetry import REQUEST_SECONDS, REQUESTS
from tests.app.messages import JSON, lines

# The log line


async def test_one_line_an_answer_with_ids_and_stage_times(client, logs):
    response = await client.post("/recall", json={"text": "boots", "history": ["hike-tent", "gone"], "k": 3})
    (line,) = lines(logs)
    answer = response.json()
    assert line["request_id"] == answer["request_id"]
    assert line["artifact_id"] == answer["artifact_id"]
    assert line["timings_ms"] == answer["timings_ms"]
    assert line["timings_ms"].keys() == {"encode", "search", "rescore", "total"}
    assert (line["method"], line["route"], line["status"]) == ("POST", "/recall", 200)
    assert line["ms"] >= line["timings_ms"]["total"]
    assert (line["k"], line["n_texts"], line["n_history"], line["n_candidates"], line["n_missing"]) == (3, 1, 2, 3, 1)
    assert (line["cache"], line["fallback"], line["degraded"]) == ("miss", None, [])


async def test_one_line_a_batch_with_ids_and_the_sum_of_stage_times(client, logs):
    response = await client.post("/recall/batch", json={"requests": [{"text": "boots"}, {"k": 0}, {"text": "tent"}]})
    (line,) = lines(logs)
    answers = [answer for answer in response.json()["responses"] if "error" not in answer]
    assert (line["n_requests"], line["n_errors"]) == (3, 1)
    assert line["artifact_id"] == answers[0]["artifact_id"]
    for stage, milliseconds in line["timings_ms"].items():
        assert milliseconds == pytest.approx(sum(answer["timings_ms"][stage] for answer in answers), abs=1e-3)


async def test_a_batch_of_errors_only_has_its_line_too(client, logs):
    await client.post("/recall/batch", json={"requests": [{"k": 0}]})
    (line,) = lines(logs)
    assert (line["n_requests"], line["n_errors"], line["status"]) == (1, 1, 200)


async def test_the_line_of_an_error_says_which(moody, encoder, logs):
    encoder.failure = lambda text: RuntimeError()
    for body in ({"k": 0}, {"timeout_ms": 1e-6, "text": "b"}, {"text": "boots"}):
        await moody.post("/recall", json=body)
    await moody.get("/nothing")
    await moody.post("/recall", content=b" " * (MAX_BODY_BYTES + 1), headers=JSON)
    assert [(line["status"], line["error"]) for line in lines(logs)] == [
        (422, "invalid_request"),
        (504, "deadline_exceeded"),
        (500, "internal"),
        (404, "not_found"),
        (413, "body_too_large"),
    ]


async def test_probes_and_scrapes_are_quiet_until_they_fail(moody, encoder, logs):
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await moody.get(path)).status_code == 200
    assert not lines(logs)
    encoder.failure = lambda text: RuntimeError()
    await moody.get("/readyz")
    (line,) = lines(logs)
    assert (line["route"], line["status"], line["error"]) == ("/readyz", 503, "internal")


# Metrics


def count(route: str, status: int) -> float:
    return REQUESTS.labels(route, status)._value.get()


async def test_answers_are_counted_by_route_and_status(client):
    before = count("/recall", 200), count("/recall", 422), count("/livez", 200)
    await client.post("/recall", json={"k": 1})
    await client.post("/recall", json={"k": 0})
    await client.get("/livez")
    after = count("/recall", 200), count("/recall", 422), count("/livez", 200)
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]


async def test_what_a_caller_makes_up_is_no_label(client):
    await client.get("/warm-up")

    def labels() -> set[tuple[str, ...]]:
        return {tuple(sample.labels.values()) for metric in REQUESTS.collect() for sample in metric.samples}

    await client.request("BREW", "/recall")
    before = labels()
    for number in range(20):
        await client.get(f"/made/up/{number}")
        await client.post(f"/recall?{number}", json={"k": 1}, headers={"X-Request-ID": f"r{number}"})
        await client.request(f"BREW{number}", "/recall")
        await client.request("POST", f"/recall/{number}", headers={"Host": f"h{number}"})
    assert labels() <= before | {("/recall", "200")}
    routes = {sample.labels["route"] for metric in REQUEST_SECONDS.collect() for sample in metric.samples}
    assert all(route == "unmatched" or route.startswith("/") for route in routes)
    assert not any("made" in route for route in routes)
