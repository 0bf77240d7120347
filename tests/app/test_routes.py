"""The routes: batches, what is served, probes, and the description of it all."""

import asyncio
import importlib.metadata
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.routes import limits
from app.schemas import MAX_BATCH, BatchAnswer, Problem, RecallAnswer, RecallRequest
from models.text import MAX_CHARS
from tests.app.harness import assert_problem, assert_problem_body, ids, serving, wrong_fields


async def batch(client: httpx.AsyncClient, *requests: Any) -> list[dict[str, Any]]:
    response = await client.post("/recall/batch", json={"requests": requests})
    assert response.status_code == 200, response.text
    return response.json()["responses"]


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns an answer or a problem without what no two have in common."""
    answer = answer.get("error", answer)
    return {name: value for name, value in answer.items() if name not in ("request_id", "timings_ms", "cache")}


# Answers


async def test_an_answer_is_as_described(client):
    response = await client.post("/recall", json={"text": "boots", "k": 3, "with_fields": ["title"]})
    answer = RecallAnswer.model_validate(response.json())
    assert response.headers["content-type"] == "application/json"
    assert answer.request_id == response.headers["x-request-id"]
    assert answer.candidates[0].fields.keys() == {"title"}


async def test_a_query_string_changes_nothing(client):
    response = await client.post("/recall?k=1&text=boots", json={"k": 2})
    assert len(response.json()["candidates"]) == 2


# Batches


async def test_answers_come_in_the_order_of_the_requests_by_their_own_ids(client):
    headers = {"X-Request-ID": "r"}
    requests = [{"history": [item], "k": 1} for item in ("bike-pump", "astro-book", "hike-map")]
    response = await client.post("/recall/batch", json={"requests": requests}, headers=headers)
    answers = response.json()["responses"]
    assert [ids(answer) for answer in answers] == [["bike-pump"], ["astro-book"], ["hike-map"]]
    assert [answer["request_id"] for answer in answers] == ["r-0", "r-1", "r-2"]
    BatchAnswer.model_validate(response.json())


async def test_one_that_is_wrong_is_a_problem_in_its_place(client):
    answers = await batch(
        client,
        {"k": 1},
        {"k": 0},
        5,
        None,
        {"with_fields": ["colour"]},
        {"text": "boots", "timeout_ms": 1e-6},
        {"user_id": []},
        {"k": 2},
    )
    statuses = [answer.get("error", {"status": 200})["status"] for answer in answers]
    assert statuses == [200, 422, 422, 422, 422, 504, 422, 200]
    assert (len(answers[0]["candidates"]), len(answers[7]["candidates"])) == (1, 2)
    for number in (1, 2, 3, 4, 6):
        assert answers[number].keys() == {"error"}
        assert_problem_body(answers[number]["error"], 422, "invalid_request")
        assert answers[number]["error"]["request_id"].endswith(f"-{number}")
    assert_problem_body(answers[5]["error"], 504, "deadline_exceeded")


@pytest.mark.parametrize("body", [{"k": 0}, {"with_fields": ["colour"]}, {"k": "x", "rescore": 1, "more": []}, []])
async def test_a_problem_in_a_batch_is_the_one_that_stands_alone(client, body):
    single = (await client.post("/recall", json=body)).json()
    (together,) = await batch(client, body)
    assert essence(together) == essence(single)


async def test_what_breaks_one_breaks_no_other(moody, encoder):
    encoder.failure = lambda text: RuntimeError() if "bad" in text else None
    good, bad, known = await batch(moody, {"text": "good"}, {"text": "bad"}, {"history": ["hike-map"]})
    assert len(good["candidates"]) == len(known["candidates"]) == 60
    assert_problem_body(bad["error"], 500, "internal")


REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "text": st.sampled_from(["boots", ["coffee", "stars"], "", "game night"]),
        "history": st.lists(st.sampled_from(["hike-map", "gone", {"id": "bike-pump", "weight": 0.3}]), max_size=4),
        "exclude_ids": st.lists(st.sampled_from(["hike-boots", "hike-stove", "nowhere"]), max_size=3),
        "exclude_seen": st.booleans(),
        "rescore": st.booleans(),
        "k": st.sampled_from([0, 1, 7, 60, 1001]),
        "with_fields": st.sampled_from([[], ["price", "title"], ["colour"]]),
    },
)


@settings(max_examples=40)
@given(requests=st.lists(REQUEST, min_size=1, max_size=6))
def test_a_batch_answers_as_its_requests_alone_do_to_the_last_digit(shared, requests):
    together = shared.post("/recall/batch", json={"requests": requests}).json()["responses"]
    alone = [shared.post("/recall", json=request).json() for request in requests]
    assert [essence(answer) for answer in together] == [essence(answer) for answer in alone]


@pytest.mark.parametrize("n_requests", [1, 64, MAX_BATCH])
async def test_a_batch_takes_up_to_a_hundred(client, n_requests):
    requests = [{"text": f"text {number}", "k": 1 + number % 60} for number in range(n_requests)]
    answers = await batch(client, *requests)
    assert [len(answer["candidates"]) for answer in answers] == [request["k"] for request in requests]


async def test_no_batch_is_empty_or_larger(client):
    for requests in ([], [{}] * (MAX_BATCH + 1)):
        assert wrong_fields(await client.post("/recall/batch", json={"requests": requests})) == ["requests"]


@pytest.mark.parametrize(
    ("body", "field"), [({}, "requests"), ({"requests": {}}, "requests"), ({"requests": [{}], "k": 5}, "k"), ([{}], "")]
)
async def test_a_batch_that_is_none_names_the_field(client, body, field):
    assert wrong_fields(await client.post("/recall/batch", json=body)) == [field]


async def test_overload_is_told_to_each(engine):
    async with serving(engine, max_waiting_texts=1) as client:
        full, known = await batch(client, {"text": ["a", "b"]}, {"k": 1})
    assert_problem_body(full["error"], 503, "overloaded")
    assert len(known["candidates"]) == 1


# What is served


async def test_info_shows_the_artifact_the_cache_and_the_limits(client, engine):
    info = (await client.get("/info")).json()
    manifest = engine.artifact.manifest
    assert info["version"] == importlib.metadata.version("text-recall")
    assert info["artifact"]["artifact_id"] == manifest.artifact_id
    assert info["artifact"]["encoder"] == manifest.encoder.model_dump()
    assert info["artifact"]["index"]["n_items"] == 60
    assert info["artifact"]["probe"].keys() == {"text", "min_cosine"}
    assert info["users"] == "sqlite"
    assert info["artifact_refused"] is None
    assert info["cache"] == {"memory_entries": 20_000, "redis": "off"}
    assert (info["threads"], info["workers"]) == (2, 1)
    assert info["limits"] == limits()


async def test_the_limits_shown_are_the_limits_held(client):
    shown = (await client.get("/info")).json()["limits"]

    async def status(path: str, body: Any) -> int:
        return (await client.post(path, json=body)).status_code

    async def degraded(text: Any) -> list[str]:
        return (await client.post("/recall", json={"text": text, "k": 1})).json()["degraded"]

    async def fallback(n_newer: int) -> str | None:
        history = ["hike-map", *["gone"] * n_newer]
        return (await client.post("/recall", json={"history": history, "k": 1})).json()["fallback"]

    async def padded(size: int) -> int:
        body, headers = b"{}".ljust(size), {"Content-Type": "application/json"}
        return (await client.post("/recall", content=body, headers=headers)).status_code

    assert [await status("/recall", {"k": shown["k"] + n}) for n in (0, 1)] == [200, 422]
    n_requests = shown["batch_requests"]
    assert [await status("/recall/batch", {"requests": [{"k": 1}] * n}) for n in (n_requests, n_requests + 1)] == [
        200,
        422,
    ]
    assert [await padded(shown["body_bytes"] + n) for n in (0, 1)] == [200, 413]
    assert [await fallback(shown["history_ids"] - n) for n in (1, 0)] == [None, "popular"]
    assert [await degraded(["boots"] * (shown["texts"] + n)) for n in (0, 1)] == [[], ["text_truncated"]]
    assert shown["text_characters"] == MAX_CHARS
    assert [await degraded("b" * (MAX_CHARS + n)) for n in (0, 1)] == [[], ["text_truncated"]]


# Probes


async def test_ready_means_that_the_probe_was_just_encoded(moody, encoder, engine):
    response = await moody.get("/readyz")
    assert response.json() == {"status": "ready", "artifact_id": engine.artifact_id, "probe_cosine": 1.0}
    assert encoder.encoded.count(engine.artifact.manifest.probe.text) >= 1


async def test_readiness_falls_with_the_encoder_and_recovers_while_life_goes_on(moody, encoder, logs):
    encoder.failure = lambda text: RuntimeError("a user's words")
    body = assert_problem(await moody.get("/readyz"), 503, "internal")
    assert "words" not in str(body)
    assert body["request_id"] in {entry["request_id"] for entry in logs if entry["event"] == "unexpected_error"}
    assert (await moody.get("/livez")).json() == {"status": "alive"}
    encoder.failure = lambda text: None
    assert (await moody.get("/readyz")).status_code == 200


async def test_readiness_falls_with_an_encoder_of_another_space(moody, encoder):
    encoder.seed = 7
    detail = assert_problem(await moody.get("/readyz"), 503, "artifact_unusable")["detail"]
    assert "cosine" in detail
    encoder.seed = 0
    assert (await moody.get("/readyz")).status_code == 200


async def test_life_goes_on_while_every_thread_is_busy(moody, encoder):
    encoder.gate.clear()
    waiting = [asyncio.create_task(moody.post("/recall", json={"text": f"text {n}"})) for n in range(5)]
    while not encoder.encoded:
        await asyncio.sleep(0.001)
    assert (await moody.get("/livez")).status_code == 200
    assert (await moody.get("/info")).status_code == 200
    assert (await moody.get("/metrics")).status_code == 200
    encoder.gate.set()
    assert {response.status_code for response in await asyncio.gather(*waiting)} == {200}


# The description


@pytest.fixture
async def openapi(client):
    return (await client.get("/openapi.json")).json()


def test_the_description_has_every_route(openapi):
    assert openapi["paths"].keys() == {
        "/recall",
        "/recall/batch",
        "/info",
        "/livez",
        "/readyz",
        "/metrics",
        "/feedback",
        "/users/{user_id}",
        "/items",
        "/items/{item_id}",
        "/admin/reload",
        "/admin/rollback",
    }
    for path in openapi["paths"].values():
        for operation in path.values():
            assert operation["description"]


def test_the_description_lists_the_problems(openapi):
    for path in ("/recall", "/recall/batch"):
        responses = openapi["paths"][path]["post"]["responses"]
        assert responses.keys() == {"200", "401", "413", "422", "500", "503", "504"}
        for status in responses.keys() - {"200"}:
            assert responses[status]["description"]
            (kind,) = responses[status]["content"]
            assert kind == "application/problem+json"
            assert responses[status]["content"][kind]["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert "503" in openapi["paths"]["/readyz"]["get"]["responses"]
    assert openapi["components"]["schemas"]["Problem"]["properties"].keys() == Problem.model_fields.keys()


def test_every_reference_of_the_description_leads_somewhere(openapi):
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [one for value in node.values() for one in references(value)]
        return [one for value in node for one in references(value)] if isinstance(node, list) else []

    found = set(references(openapi))
    assert found
    for reference in found:
        node = openapi
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    assert "HTTPValidationError" not in openapi["components"]["schemas"]  # FastAPI's own shape of a 422


async def test_the_examples_of_the_description_are_answered(client, openapi):
    schemas = openapi["components"]["schemas"]
    assert openapi["paths"]["/recall"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    examples = schemas["RecallRequest"]["examples"]
    assert len(examples) >= 2
    for example in examples:
        RecallRequest.model_validate(example)
        response = await client.post("/recall", json=example)
        assert response.status_code == 200
        RecallAnswer.model_validate(response.json())
    for example in schemas["RecallAnswer"]["examples"]:
        RecallAnswer.model_validate(example)


def test_fields_that_come_later_are_not_described(openapi):
    described = openapi["components"]["schemas"]["RecallRequest"]["properties"]
    assert not {"filter", "diversity", "explain"} & described.keys()
    assert described["k"]["maximum"] == 1000
    assert {"type": "integer"} in described["exclude_ids"]["items"]["anyOf"]
