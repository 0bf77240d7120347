"""Whatever is sent to the service is answered or refused; it never breaks."""

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from app.schemas import RecallRequest
from tests.app.harness import assert_problem

JSON = {"Content-Type": "application/json"}

# Everything that json.loads lets through: NaN, infinities, lone surrogates, numbers of any size.
TEXTS = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["\ud800", "", "boots", "hike-boots", "\x00"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
FIELDS = st.sampled_from([*RecallRequest.model_fields, "requests", "id", "weight"])
# Right and wrong values side by side, so that many bodies come far.
LIKELY = {
    "text": TEXTS | st.lists(TEXTS, max_size=40),
    "history": st.lists(TEXTS | st.integers() | st.fixed_dictionaries({"id": TEXTS}, optional={"weight": st.floats()})),
    "k": st.integers(-1, 1002),
    "exclude_ids": st.lists(TEXTS | st.integers()),
    "exclude_seen": st.booleans(),
    "rescore": st.booleans(),
    "with_fields": st.lists(st.sampled_from(["title", "price", "colour", "\ud800"]), max_size=3),
    "timeout_ms": st.floats(),
    "user_id": st.none() | TEXTS | st.integers(),
    "filter": st.none() | st.just({}),
    "diversity": st.floats(),
    "explain": st.booleans(),
}
BODIES = st.fixed_dictionaries({}, optional=LIKELY) | st.dictionaries(FIELDS | TEXTS, VALUES, max_size=5) | VALUES


def assert_answered_or_refused(response) -> None:
    if response.status_code == 200:
        body = response.json()
        assert isinstance(body, dict)
        assert len(response.content) < 1_000_000
    elif response.status_code == 504:
        assert_problem(response, 504, "deadline_exceeded")
    else:
        assert_problem(response, 422, "invalid_request")


@settings(max_examples=300)
@given(body=BODIES)
def test_any_json_is_answered_or_refused(shared, body):
    response = shared.post("/recall", content=json.dumps(body), headers=JSON)
    assert_answered_or_refused(response)


@settings(max_examples=100)
@given(requests=st.lists(BODIES, min_size=1, max_size=5))
def test_any_batch_is_answered_one_by_one(shared, requests):
    response = shared.post("/recall/batch", content=json.dumps({"requests": requests}), headers=JSON)
    assert response.status_code == 200
    answers = response.json()["responses"]
    assert len(answers) == len(requests)
    for answer in answers:
        assert answer.get("error", {"status": 200})["status"] in (200, 422, 504)


EVENTS = st.fixed_dictionaries(
    {"event_id": TEXTS, "user_id": TEXTS | st.integers(), "item_id": TEXTS, "type": TEXTS | st.just("click")},
    optional={"timestamp": SCALARS, "text": TEXTS, "rating": st.floats(), "request_id": TEXTS, "more": VALUES},
)


@settings(max_examples=100)
@given(events=st.lists(EVENTS | VALUES, max_size=4))
def test_any_events_are_taken_or_rejected_one_by_one(shared, events):
    response = shared.post("/feedback", content=json.dumps({"events": events}), headers=JSON)
    assert response.status_code == 202
    answer = response.json()
    assert answer["accepted"] + len(answer["rejected"]) == len(events)
    assert all(one["reason"] for one in answer["rejected"])


@settings(max_examples=200)
@given(content=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_answered_or_refused(shared, content):
    for path in ("/recall", "/recall/batch"):
        assert_answered_or_refused(shared.post(path, content=content, headers=JSON))


@settings(max_examples=100)
@given(data=st.data(), cut=st.integers(0, 200), flip=st.integers(0, 255))
def test_a_broken_copy_of_a_right_body_is_answered_or_refused(shared, data, cut, flip):
    content = bytearray(b'{"text": "boots", "history": ["hike-map", {"id": "b", "weight": 0.5}], "k": 3}')
    content[data.draw(st.integers(0, len(content) - 1))] = flip
    assert_answered_or_refused(shared.post("/recall", content=bytes(content[:cut]), headers=JSON))


@settings(max_examples=60)
@given(
    headers=st.dictionaries(
        st.sampled_from(["X-Request-ID", "Content-Type", "Content-Length", "X-API-Key", "Authorization", "Accept"]),
        st.binary(max_size=200).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    )
)
def test_any_headers_are_answered_or_refused(shared, headers):
    response = shared.post("/recall", content=b'{"k": 1}', headers={**JSON, **headers})
    assert response.status_code in (200, 413, 422)
    assert len(response.headers["x-request-id"]) <= 128


def test_no_score_is_anything_but_a_number(shared):
    """JSON has no NaN, and orjson would write null."""
    for body in ({"text": "\u0000"}, {"history": [{"id": "hike-map", "weight": 1e-30}]}, {"text": "\ufdfa" * 5_000}):
        for candidate in shared.recall(**body)["candidates"]:
            assert math.isfinite(candidate["score"])
