"""What tests of events and profiles share: events, and a service's answers to them."""

from typing import Any

import httpx


def event(event_id: str, item: str = "hike-boots", kind: str = "click", user: str = "u", **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": user, "item_id": item, "type": kind, **more}


async def post(client: httpx.AsyncClient, *events: Any) -> dict[str, Any]:
    response = await client.post("/feedback", json={"events": events})
    assert response.status_code == 202, response.text
    return response.json()


async def ask(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post("/recall", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def essence(answer: dict[str, Any]) -> Any:
    return answer["candidates"], answer["missing_ids"], answer["fallback"], answer["degraded"]
