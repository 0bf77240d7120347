"""Around every request: ids, the log line, metrics, the limit of the body, callers who leave."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from app.factory import create_app
from app.middleware import BodyLimit, RequestContext
from app.schemas import MAX_BODY_BYTES
from app.settings import ServiceSettings
from app.telemetry import REQUEST_SECONDS, REQUESTS
from tests.app.harness import assert_problem, running, serving

JSON = {"Content-Type": "application/json"}


def lines(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the lines of requests."""
    return [entry for entry in logs if entry["event"] == "request"]


async def call(app: Any, messages: Sequence[Message], *headers: tuple[bytes, bytes]) -> list[Message]:
    """Posts to /recall as a server would, message by message, and returns what is sent back."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/recall",
        "raw_path": b"/recall",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    waiting = list(messages)
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


# Ids


@pytest.mark.parametrize("given", ["r-1", "a" * 128, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "0"])
async def test_a_sane_request_id_is_taken_over(client, given):
    for method, path in [("POST", "/recall"), ("GET", "/livez"), ("GET", "/nothing")]:
        response = await client.request(method, path, json={}, headers={"X-Request-ID": given})
        assert response.headers.get_list("x-request-id") == [given]
    answer = await client.post("/recall", json={"k": 1}, headers={"X-Request-ID": given})
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", "é".encode(), b"\x7f", b"a\tb"])
async def test_any_other_is_replaced(client, given):
    response = await client.post("/recall", json={"k": 0}, headers={"X-Request-ID": given})
    made = assert_problem(response, 422, "invalid_request")["request_id"]
    assert len(made) == 32
    assert int(made, 16)


async def test_ids_that_are_made_differ(client):
    made = {(await client.get("/livez")).headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20


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


# The limit


async def test_a_body_of_exactly_the_limit_is_read(client):
    body = b'{"k": 1}'.ljust(MAX_BODY_BYTES)
    assert (await client.post("/recall", content=body, headers=JSON)).status_code == 200
    response = await client.post("/recall", content=body + b" ", headers=JSON)
    assert_problem(response, 413, "body_too_large")


async def _chunks(n_bytes: int, read: list[int]) -> AsyncIterator[bytes]:
    yield b'{"k": 1}'
    for start in range(8, n_bytes, 65_536):
        size = min(65_536, n_bytes - start)
        read.append(size)
        yield b" " * size


@pytest.mark.parametrize(("n_bytes", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)])
async def test_chunks_are_counted_as_they_come(client, n_bytes, status):
    response = await client.post("/recall", content=_chunks(n_bytes, []), headers=JSON)
    assert response.status_code == status


async def test_an_endless_body_is_not_read_to_its_end(engine):
    read = 0

    async def endless() -> AsyncIterator[Message]:
        nonlocal read
        while True:
            read += 1_000_000
            yield part(b" " * 1_000_000, more=True)

    messages = endless()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it reached the app")

    limit = RequestContext(BodyLimit(app))
    scope = {"type": "http", "method": "POST", "path": "/recall", "headers": []}
    await limit(scope, messages.__anext__, send)
    assert sent[0]["status"] == 413
    assert read < MAX_BODY_BYTES + 2_000_000


@pytest.mark.parametrize("declared", [b"99999999999", b"9" * 5_000])
async def test_a_length_over_the_limit_is_refused_unread(engine, declared):
    async with running(app := create_app(ServiceSettings(), engine=engine)):
        sent = await call(app, [], (b"content-length", declared))
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("declared", [b"0", b"1", b"-5", b"ten", b"\xb2", b"8.5"])
async def test_a_length_that_lies_deceives_nobody(engine, declared):
    small, large = [part(b'{"k": 1}', more=False)], [part(b" " * MAX_BODY_BYTES, more=True), part(b" ", more=False)]
    async with running(app := create_app(ServiceSettings(), engine=engine)):
        assert (await call(app, small, (b"content-length", declared)))[0]["status"] == 200
        assert (await call(app, large, (b"content-length", declared)))[0]["status"] == 413


async def test_a_body_in_pieces_is_put_together(engine):
    pieces = [part(bytes([byte]), more=True) for byte in b'{"k": 1}'] + [part(b"", more=False)]
    async with running(app := create_app(ServiceSettings(), engine=engine)):
        assert (await call(app, pieces))[0]["status"] == 200


# Callers who leave, and what nobody foresaw


async def test_a_caller_who_leaves_while_sending_harms_nobody(engine, logs):
    async with running(app := create_app(ServiceSettings(), engine=engine)) as client:
        assert await call(app, [part(b'{"text": "bo', more=True)]) == []
        assert (await client.post("/recall", json={"k": 1})).status_code == 200
    assert [line["status"] for line in lines(logs)] == [499, 200]


async def test_a_caller_who_leaves_while_we_encode_harms_nobody(engine, encoder, logs):
    """His task is cancelled; another one who waits for the same text gets it."""
    encoder.gate.clear()
    app = create_app(ServiceSettings(threads=1), engine=replace(engine, encoder=encoder))
    async with running(app) as client:
        leaving = asyncio.create_task(call(app, [part(b'{"text": "boots"}', more=False)]))
        while not encoder.encoded:
            await asyncio.sleep(0.001)
        staying = asyncio.create_task(client.post("/recall", json={"text": "boots"}))
        await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        encoder.gate.set()
        assert (await staying).status_code == 200
        assert encoder.encoded == ["boots"]
    assert sorted(line["status"] for line in lines(logs)) == [200, 499]


async def test_a_send_that_fails_is_no_unheard_of_error(engine):
    """The server's send raises where the caller is gone; the next request is answered."""
    async with running(app := create_app(ServiceSettings(), engine=engine)) as client:

        async def send(message: Message) -> None:
            raise OSError("gone")

        async def receive() -> Message:
            return part(b'{"k": 1}', more=False)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/recall",
            "headers": [],
            "query_string": b"",
            "server": ("x", 1),
        }
        with pytest.raises(OSError, match="gone"):
            await app(scope, receive, send)
        assert (await client.post("/recall", json={"k": 1})).status_code == 200


async def test_an_error_after_the_answer_began_reaches_the_server(logs):
    """It must cut the connection: half an answer is not to be taken for a whole one."""

    async def breaking(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("half way")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="half way"):
        await RequestContext(breaking)({"type": "http", "method": "GET", "path": "/x", "headers": []}, None, send)
    assert len(sent) == 1
    (line,) = lines(logs)
    assert line["error"] == "internal"


async def test_an_error_that_nobody_foresaw_is_a_problem_and_escapes_nowhere(engine, logs):
    app = create_app(ServiceSettings(), engine=engine)

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a user's words")

    async with running(app) as client:
        assert_problem(await client.get("/broken"), 500, "internal")
    assert [entry["event"] for entry in logs if entry["event"] != "artifact_opened"] == ["unexpected_error", "request"]


async def test_many_at_once_keep_their_ids(client):
    async def ask(number: int) -> httpx.Response:
        headers = {"X-Request-ID": f"r{number}"}
        return await client.post("/recall", json={"text": f"text {number % 7}", "k": 1 + number % 5}, headers=headers)

    responses = await asyncio.gather(*map(ask, range(60)))
    for number, response in enumerate(responses):
        assert response.status_code == 200
        assert response.headers["x-request-id"] == response.json()["request_id"] == f"r{number}"
        assert len(response.json()["candidates"]) == 1 + number % 5


async def test_head_and_options_are_problems_too(client):
    for path in ("/livez", "/recall"):
        response = await client.head(path)
        assert response.status_code == 405
        assert response.headers["allow"]
        assert_problem(await client.options(path), 405, "method_not_allowed")


async def test_other_protocols_pass_by(engine):
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    chain = RequestContext(BodyLimit(app))
    for kind in ("lifespan", "websocket"):
        await chain({"type": kind}, None, None)
    assert seen == ["lifespan", "websocket"]
    assert isinstance(create_app(ServiceSettings(), engine=engine), FastAPI)


async def test_serving_is_the_same_twice(engine):
    """Two apps in one process share metrics, and nothing else."""
    async with serving(engine) as one, serving(engine, api_keys="key") as two:
        assert (await one.post("/recall", json={"k": 1})).status_code == 200
        assert (await two.post("/recall", json={"k": 1})).status_code == 401
