"""Errors to HTTP: the mapping is total, and every error of every route is a problem."""

import json

import httpx
import pytest

from app.errors import STATUS, from_validation, invalid, problem, respond
from app.schemas import RecallRequest
from models import errors
from models.errors import EncoderError, FieldProblem, InvalidRequestError, RecallError
from tests.app.harness import assert_problem, assert_problem_body, serving, wrong_fields

JSON = {"Content-Type": "application/json"}
SECRET = "xyzzy-plugh"  # what a user wrote


def all_errors(root: type[RecallError] = RecallError) -> list[type[RecallError]]:
    """Returns the whole tree; what the builder adds to it never gets here."""
    children = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    return [root, *(error for child in children for error in all_errors(child))]


# The mapping


@pytest.mark.parametrize("error", all_errors())
def test_every_class_has_a_status_and_a_word(error):
    instance = error(FieldProblem("k", "is wrong")) if error is InvalidRequestError else error("it is wrong")
    body = problem(instance, "r1")
    assert_problem_body(body, body["status"], body["type"])
    assert 400 <= body["status"] < 600
    assert body["request_id"] == "r1"
    assert "is wrong" in body["detail"]
    assert respond(body).status_code == body["status"]


def test_a_class_of_its_own_is_mapped_as_its_nearest_ancestor():
    class Newer(errors.ArtifactCorruptError):
        pass

    assert problem(Newer("x"), "r")["type"] == STATUS[errors.ArtifactError][1]


def test_callers_faults_are_4xx_but_for_overload_and_deadline():
    for error, (status, word, _) in STATUS.items():
        if issubclass(error, errors.RequestError):
            assert status < 500 or word in ("overloaded", "deadline_exceeded")
        else:
            assert status >= 500


def test_what_is_not_ours_says_nothing_of_its_inside_and_leaves_its_words_out_of_the_log(logs):
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        body = problem(error, "r1")
    assert_problem_body(body, 500, "internal")
    assert SECRET not in json.dumps(body)
    (entry,) = logs
    assert (entry["event"], entry["error"], entry["request_id"]) == ("unexpected_error", "KeyError", "r1")
    assert "test_errors.py" in entry["frames"][-1]
    assert SECRET not in str(entry)


def test_a_complaint_never_repeats_the_value():
    with pytest.raises(ValueError, match="k") as caught:
        RecallRequest.model_validate({"k": "secret", "history": ["a", {"id": 1, "weight": "secret"}]})
    assert "secret" not in str(from_validation(caught.value))


def test_a_dot_in_a_made_up_name_hides_no_other_complaint():
    found = invalid([{"loc": ("k",), "msg": "a", "type": "x"}, {"loc": ("k.x",), "msg": "b", "type": "x"}])
    assert [one.field for one in found.problems] == ["k", "k.x"]


# Bodies that aren't


@pytest.mark.parametrize("path", ["/recall", "/recall/batch"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b"NaN",
        b'{"text": "a"} {}',
        b'{"text": "a",}',
        b"{'text': 'a'}",
        b'{"text": "\xff"}',
        b"\xff\xfe",
        b"\x00",
        b"[" * 100_000,
        b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"k": ' + b"9" * 5_000 + b"}",
        b'{"\\ud800": 1}',
    ],
    ids=lambda content: repr(content[:12]),
)
async def test_a_body_that_is_no_object_is_a_422_of_the_body(client, path, content):
    assert wrong_fields(await client.post(path, content=content, headers=JSON)) == [""]


async def test_broken_json_says_where(client):
    response = await client.post("/recall", content=b'{"k": 5, "text"}', headers=JSON)
    (error,) = response.json()["errors"]
    assert error["message"] == "is no JSON: Expecting ':' delimiter at character 15"


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x" * 5_000, "json"]
)
async def test_another_content_type_says_which_one_is_needed(client, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    response = await client.post("/recall", content=b'{"k": 1}', headers=headers)
    assert wrong_fields(response) == [""]
    assert "application/json" in response.json()["detail"]
    assert len(response.text) < 1_000


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/problem+json"])
async def test_json_by_any_of_its_names(client, kind):
    response = await client.post("/recall", content=b'{"k": 1}', headers={"Content-Type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [(b'{"k": NaN}', "k"), (b'{"timeout_ms": Infinity}', "timeout_ms"), (b'{"history": ["\\ud800"]}', "history.0")],
)
async def test_what_json_itself_lets_through_is_a_422_of_its_field(client, body, field):
    assert wrong_fields(await client.post("/recall", content=body, headers=JSON)) == [field]


# Every status, from a route


async def test_404_for_unknown_paths(client):
    for method, path in [("GET", "/"), ("POST", "/recalls"), ("GET", "/things/5"), ("GET", "/%ff")]:
        assert_problem(await client.request(method, path), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/recall", "POST"), ("/recall/batch", "POST"), ("/info", "GET"), ("/livez", "GET"), ("/readyz", "GET")],
)
async def test_405_names_the_method_that_is_allowed(client, path, allowed):
    for method in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"} - {allowed}:
        response = await client.request(method, path)
        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == allowed


async def test_413_names_the_limit(client):
    for path in ("/recall", "/recall/batch"):
        response = await client.post(path, content=b" " * (8 * 1024 * 1024 + 1), headers=JSON)
        assert "8388608" in assert_problem(response, 413, "body_too_large")["detail"]


async def test_500_where_the_encoder_fails(moody, encoder):
    encoder.failure = lambda text: EncoderError("it gave nothing; verify the artifact")
    response = await moody.post("/recall", json={"text": "boots"})
    assert "verify" in assert_problem(response, 500, "encoder_failed")["detail"]


async def test_500_where_anything_else_fails(moody, encoder, logs):
    encoder.failure = lambda text: RuntimeError(f"cannot take {text}")
    response = await moody.post("/recall", json={"text": "boots"})
    body = assert_problem(response, 500, "internal")
    assert body["request_id"] in body["detail"]
    assert [entry["request_id"] for entry in logs if entry["event"] == "unexpected_error"] == [body["request_id"]]
    encoder.failure = lambda text: None
    assert (await moody.post("/recall", json={"text": "boots"})).status_code == 200


async def test_503_where_too_much_is_waiting(engine):
    async with serving(engine, max_waiting_texts=1) as client:
        response = await client.post("/recall", json={"text": ["one", "two"]})
        assert_problem(response, 503, "overloaded")
        assert (await client.post("/recall", json={"text": "one"})).status_code == 200


async def test_504_where_time_is_up(client):
    response = await client.post("/recall", json={"text": "one", "timeout_ms": 1e-6})
    assert "1e-06" in assert_problem(response, 504, "deadline_exceeded")["detail"]


# A user's words


@pytest.mark.parametrize(
    "body",
    [
        {"text": SECRET, "k": 0},
        {"text": {"a": SECRET}},
        {"text": [SECRET, 5]},
        {"k": SECRET},
        {"history": [{"id": "a", "weight": SECRET}]},
        {"later": SECRET},
        {"user_id": [SECRET]},
        {"filter": {"must": [SECRET]}},
        {"timeout_ms": 1e-6, "text": SECRET},
    ],
)
async def test_errors_and_logs_never_repeat_a_users_words(client, logs, capfd, caplog, body):
    single = await client.post("/recall", json=body)
    batch = await client.post("/recall/batch", json={"requests": [body]})
    assert single.status_code >= 400
    _assert_unsaid([single, batch], logs, caplog.text, *capfd.readouterr())


async def test_broken_bodies_are_not_repeated_either(client, logs, capfd, caplog):
    responses = [
        await client.post("/recall", content=content, headers=headers)
        for content in (f'{{"text": "{SECRET}"', f'"{SECRET}"', f'{{"text": "{SECRET}\x00"}}'.encode())
        for headers in (JSON, {})
    ]
    _assert_unsaid(responses, logs, caplog.text, *capfd.readouterr())


@pytest.mark.parametrize("error", [RuntimeError, KeyError, EncoderError])
async def test_a_failing_encoder_tells_nobody_what_it_read(moody, encoder, logs, capfd, caplog, error):
    encoder.failure = lambda text: error("failed") if error is EncoderError else error(text)
    single = await moody.post("/recall", json={"text": SECRET})
    batch = await moody.post("/recall/batch", json={"requests": [{"text": SECRET}]})
    assert single.status_code == 500
    _assert_unsaid([single, batch], logs, caplog.text, *capfd.readouterr())


async def test_answers_leave_no_words_in_the_log(client, logs, capfd, caplog):
    assert (await client.post("/recall", json={"text": SECRET})).status_code == 200
    assert (await client.post("/recall/batch", json={"requests": [{"text": SECRET}]})).status_code == 200
    _assert_unsaid([], logs, caplog.text, *capfd.readouterr())


def _assert_unsaid(responses: list[httpx.Response], logs: list[dict[str, object]], *written: str) -> None:
    assert logs
    for said in (*(response.text for response in responses), str(logs), *written):
        assert SECRET not in said
