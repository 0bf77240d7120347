"""Batches: each request answered in its place as it would be alone."""

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.schemas import MAX_BATCH, BatchAnswer
from tests.app.harness import assert_problem_body, ids, serving, wrong_fields


async def batch(client: httpx.AsyncClient, *requests: Any) -> list[dict[str, Any]]:
    response = await client.post("/recall/batch", json={"requests": requests})
    assert response.status_code == 200, response.text
    return response.json()["responses"]


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns an answer or a problem without what no two have in common."""
    answer = answer.get("error", answer)
    return {name: value for name, value in answer.items() if name not in ("request_id", "timings_ms", "cache")}


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
