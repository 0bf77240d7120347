"""The wire: what a request may say, and how a wrong one is told so."""

import math

import pytest
from pydantic import ValidationError

from app.errors import from_validation
from app.schemas import MAX_K, BatchAnswer, BatchRequest, Problem, RecallAnswer, RecallRequest
from app.schemas_changes import FeedbackRequest


def complaints(raw: object) -> dict[str, str]:
    """Returns what a wrong body is told, by field."""
    with pytest.raises(ValidationError) as caught:
        RecallRequest.model_validate(raw)
    return {problem.field: problem.message for problem in from_validation(caught.value).problems}


def test_every_field_is_optional():
    request = RecallRequest.model_validate({})
    assert (request.texts, request.weighted_history, request.exclude_ids, request.with_fields) == ([], [], [], [])
    assert (request.k, request.exclude_seen, request.rescore, request.timeout_ms) == (100, False, True, None)


@pytest.mark.parametrize(
    ("text", "texts"),
    [(None, []), ("", [""]), ("a", ["a"]), ([], []), (["a", ""], ["a", ""]), ("\ud83d", ["\ud83d"])],
)
def test_text_is_one_or_several(text, texts):
    assert RecallRequest.model_validate({"text": text}).texts == texts


def test_a_history_entry_is_a_string_an_integer_or_an_object():
    history = ["i7", 7, {"id": "i9", "weight": 0.5}, {"id": 9}, {"id": "i1", "weight": 0}]
    weighted = RecallRequest.model_validate({"history": history}).weighted_history
    assert weighted == [("i7", 1.0), ("7", 1.0), ("i9", 0.5), ("9", 1.0), ("i1", 0.0)]


@pytest.mark.parametrize(("user_id", "kept"), [(None, None), ("u42", "u42"), (0, "0"), ("", ""), ("山/", "山/")])
def test_a_user_is_a_string_or_an_integer(user_id, kept):
    assert RecallRequest.model_validate({"user_id": user_id}).user_id == kept


@pytest.mark.parametrize("k", [1, MAX_K])
def test_k_up_to_its_bounds(k):
    assert RecallRequest.model_validate({"k": k}).k == k


@pytest.mark.parametrize("k", [0, -1, MAX_K + 1, 10**30, True, 10.0, "10", None, math.nan, [10]])
def test_any_other_k_is_wrong(k):
    assert list(complaints({"k": k})) == ["k"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": 5}, "text"),
        ({"text": {"a": "b"}}, "text"),
        ({"text": ["a", None]}, "text.1"),
        ({"history": "i7"}, "history"),
        ({"history": [None]}, "history.0"),
        ({"history": ["a", True]}, "history.1"),
        ({"history": [1.5]}, "history.0"),
        ({"history": [{}]}, "history.0.id"),
        ({"history": [{"id": None}]}, "history.0.id"),
        ({"history": ["a", {"id": "b", "weight": -1}]}, "history.1.weight"),
        ({"history": [{"id": "b", "weight": 101}]}, "history.0.weight"),
        ({"history": [{"id": "b", "weight": math.nan}]}, "history.0.weight"),
        ({"history": [{"id": "b", "weight": "1"}]}, "history.0.weight"),
        ({"history": [{"id": "b", "str": 1}]}, "history.0.str"),
        ({"history": ["\ud800"]}, "history.0"),
        ({"history": [{"id": "\ud800"}]}, "history.0.id"),
        ({"exclude_ids": ["a", 1.5]}, "exclude_ids.1"),
        ({"exclude_ids": ["\udfff"]}, "exclude_ids.0"),
        ({"exclude_ids": "a"}, "exclude_ids"),
        ({"user_id": True}, "user_id"),
        ({"user_id": 1.5}, "user_id"),
        ({"user_id": ["u"]}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"exclude_seen": 1}, "exclude_seen"),
        ({"exclude_seen": "true"}, "exclude_seen"),
        ({"rescore": None}, "rescore"),
        ({"with_fields": "title"}, "with_fields"),
        ({"with_fields": [1]}, "with_fields.0"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"timeout_ms": -5}, "timeout_ms"),
        ({"timeout_ms": math.inf}, "timeout_ms"),
        ({"timeout_ms": math.nan}, "timeout_ms"),
        ({"timeout_ms": "5"}, "timeout_ms"),
        # Names that look like those of pydantic's unions.
        ({"str": 1}, "str"),
        ({"HistoryItem": 1}, "HistoryItem"),
        ({"a[b]": 1}, "a[b]"),
        ({"texts": ["a"]}, "texts"),
    ],
)
def test_one_complaint_that_names_the_wrong_field(body, field):
    assert list(complaints(body)) == [field]


def test_every_wrong_field_is_named():
    assert complaints({"k": 0, "rescore": 1, "historie": []}).keys() == {"k", "rescore", "historie"}


@pytest.mark.parametrize("raw", [None, 5, "text", [], [{}], True])
def test_a_body_must_be_an_object(raw):
    assert complaints(raw) == {"": "must be a JSON object"}


@pytest.mark.parametrize("body", [{"filter": None}, {"diversity": 0}, {"diversity": 0.0}, {"explain": False}])
def test_later_fields_pass_while_they_ask_for_nothing(body):
    RecallRequest.model_validate(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filter", {"must": [{"key": "category", "match": {"value": "a"}}]}),
        ("filter", {}),
        ("filter", 0),
        ("filter", False),
        ("diversity", 0.5),
        ("diversity", math.nan),
        ("diversity", "0"),
        ("diversity", [0]),
        ("explain", True),
        ("explain", "no"),
    ],
)
def test_later_fields_are_refused_once_they_ask_for_something(field, value):
    (found,) = complaints({field: value}).items()
    assert found[0] == field
    assert "doesn't serve this field yet" in found[1]


@pytest.mark.parametrize(
    "raw",
    [
        {"history": [None] * 100_000},
        {"exclude_ids": [None] * 100_000},
        {"text": [None] * 100_000},
        {"with_fields": [None] * 100_000},
        {f"field{n}": 0 for n in range(100_000)},
        {"history": [{f"field{n}": 0 for n in range(100_000)}]},
        {f"field{n}": 0 for n in range(50)},
        {"x" * 100_000: 0},
    ],
    ids=lambda raw: f"{len(raw)} fields",
)
def test_a_heap_of_rubbish_gets_a_short_answer(raw):
    found = complaints(raw)
    assert 1 <= len(found) <= 20
    assert sum(len(field) + len(message) for field, message in found.items()) < 3_000


def test_requests_of_a_batch_are_checked_later_one_by_one():
    assert BatchRequest.model_validate({"requests": [5, {"k": 0}]}).requests == [5, {"k": 0}]


def test_the_examples_are_valid():
    for model in (RecallRequest, RecallAnswer, FeedbackRequest):
        examples = model.model_json_schema()["examples"]
        assert examples
        for example in examples:
            model.model_validate(example)


def test_an_answer_of_a_batch_is_an_answer_or_a_problem():
    answer = RecallAnswer.model_json_schema()["examples"][0]
    problem = {"type": "x", "title": "x", "status": 422, "detail": "x", "request_id": "x"}
    batch = BatchAnswer.model_validate({"responses": [answer, {"error": problem}]})
    assert isinstance(batch.responses[0], RecallAnswer)
    assert isinstance(batch.responses[1].error, Problem)
