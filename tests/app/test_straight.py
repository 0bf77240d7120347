"""A right body is read straight; anything else goes FastAPI's way and is told so in the same words."""

from typing import Any

import pytest

from app import straight
from tests.app.harness import serving, wrong_fields


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each body so far was read straight."""
    seen: list[bool] = []
    plain = straight._read

    def noted(*arguments: Any) -> Any:
        body = plain(*arguments)
        seen.append(body is not None)
        return body

    monkeypatch.setattr(straight, "_read", noted)
    return seen


async def test_both_ways_answer_alike(client, read):
    body = b'{"text": "boots", "k": 3, "history": ["hike-boots", {"id": "hike-map", "weight": 0.5}]}'
    straight = await client.post("/recall", content=body, headers={"Content-Type": "application/json"})
    around = await client.post("/recall", content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert read == [True, False]
    assert straight.status_code == around.status_code == 200
    assert straight.json()["candidates"] == around.json()["candidates"]
    assert straight.headers.keys() == around.headers.keys()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b'{"k": 0}', b'{"k": 3, "nothing": 1}', b"\xff", b"[" * 5_000]
)
async def test_a_wrong_body_is_a_422(client, read, body):
    response = await client.post("/recall", content=body, headers={"Content-Type": "application/json"})
    assert wrong_fields(response)
    assert read == [False]


async def test_a_body_of_another_kind_is_a_422(client, read):
    response = await client.post("/recall", content=b'{"k": 3}', headers={"Content-Type": "text/plain"})
    assert wrong_fields(response) == [""]
    assert read == [False]


async def test_whoever_has_no_key_is_not_read(engine, read):
    async with serving(engine, api_keys="secret") as client:
        assert (await client.post("/recall", json={})).status_code == 401
        assert read == []
        assert (await client.post("/recall", json={}, headers={"X-API-Key": "secret"})).status_code == 200
        assert read == [True]
