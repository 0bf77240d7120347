"""The description of the routes: whole, without loose ends, its examples answered."""

from typing import Any

import pytest

from app.schemas import Problem, RecallAnswer, RecallRequest


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
