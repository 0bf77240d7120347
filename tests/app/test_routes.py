"""The routes: an answer, and what is served with which limits."""

import importlib.metadata
from typing import Any

from app.routes import limits
from app.schemas import RecallAnswer
from models.text import MAX_CHARS

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
