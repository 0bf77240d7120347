"""The service as it is run: a process, a port, signals, a real encoder. Catalogue → artifact → HTTP."""

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.service import PATIENCE, Service

pytestmark = pytest.mark.real_model


@pytest.fixture(scope="module")
def service(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), artifacts) as service:
        yield service.wait_until_ready()


# Answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sturdy shoes to walk on rocky mountain paths", "hike-boots"),
        ("I want to look at the rings of Saturn from my garden", "astro-"),
        ("flat tyre on the way to work", "bike-"),
        ("an evening with friends around a table", "game-"),
    ],
)
def test_a_text_in_candidates_out(service, text, expected):
    answer = service.recall(text=text, k=3, with_fields=["title"])
    assert answer["candidates"][0]["id"].startswith(expected)
    assert answer["candidates"][0]["fields"]["title"]
    assert (answer["fallback"], answer["degraded"], len(answer["candidates"])) == (None, [], 3)


def test_hit_miss_and_batch_agree_to_the_last_digit(service):
    body = {"text": "fresh ground coffee 豆 ☕", "history": ["hike-map"], "k": 20}
    miss, hit = service.recall(**body), service.recall(**body)
    (together,) = service.post({"requests": [body]}, "/recall/batch").json()["responses"]
    assert (miss["cache"], hit["cache"]) == ("miss", "hit")
    assert miss["candidates"] == hit["candidates"] == together["candidates"]


def test_a_text_over_the_encoders_length_says_so_on_miss_and_on_hit(service):
    tokens = httpx.get(f"{service.url}/info").json()["artifact"]["encoder"]["max_tokens"]
    assert service.recall(text="a " * (tokens - 2))["degraded"] == []
    for cache in ("miss", "hit"):
        answer = service.recall(text="a " * tokens)
        assert (answer["cache"], answer["degraded"]) == (cache, ["text_truncated"])


def test_a_batch_of_64_and_many_at_once(service):
    requests = [{"text": f"text number {number}", "k": 1 + number % 7} for number in range(64)]
    answers = service.post({"requests": requests}, "/recall/batch").json()["responses"]
    assert [len(answer["candidates"]) for answer in answers] == [request["k"] for request in requests]
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(service.post, requests))
    assert {response.status_code for response in responses} == {200}
    for answer, response in zip(answers, responses, strict=True):
        assert response.json()["candidates"] == answer["candidates"]


def test_every_kind_of_text_gets_an_answer(service):
    texts = [
        "轻便的登山靴",
        "山道を歩くための軽い靴",
        "🥾⛰️",
        "حذاء للمشي في الجبال",
        "\u202eevil",
        "\u0000",
        "\ud83d",
        "a" * 19_999,
    ]
    for text in texts:
        content = json.dumps({"text": text, "k": 1})
        response = httpx.post(f"{service.url}/recall", content=content, headers={"Content-Type": "application/json"})
        assert response.status_code == 200
        assert len(response.json()["candidates"]) == 1


# HTTP as it really comes


def test_head_and_options_have_their_place(service):
    with httpx.Client(base_url=service.url) as client:  # one connection: a stray body would break what follows
        assert client.head("/livez").status_code == 405
        assert client.options("/recall").headers["allow"] == "POST"
        assert client.get("/livez").json() == {"status": "alive"}


def test_a_body_over_the_limit_is_refused_however_it_comes(service):
    def chunks() -> Iterator[bytes]:
        yield from (b" " * 65_536 for _ in range(200))

    for content in (b" " * (8 * 1024 * 1024 + 1), chunks()):
        try:
            response = httpx.post(f"{service.url}/recall", content=content, timeout=PATIENCE)
        except httpx.TransportError:
            continue  # the server hung up before all was sent, which says it too
        assert response.status_code == 413
        assert response.json()["type"] == "body_too_large"
    assert service.recall(k=1)["candidates"]


def test_callers_who_leave_harm_nobody(service):
    body = json.dumps({"text": "somebody who leaves " * 20, "k": 5}).encode()
    for sent in (b"", body[:10], body):
        with service.open_request(body) as connection:
            connection.sendall(sent)
    with service.open_request(b"x" * 50) as connection:
        connection.sendall(b"x" * 10)  # fewer than were promised
    assert service.recall(text="somebody who stays")["candidates"]
    assert httpx.get(f"{service.url}/readyz").status_code == 200
    assert "Traceback" not in service.errors


def test_an_idle_connection_stays_open(service):
    """Uvicorn's own patience is 5 s; then the next request of a load balancer, which keeps it for 60, gets lost."""
    connection = HTTPConnection("127.0.0.1", httpx.URL(service.url).port, timeout=PATIENCE)
    for pause in (6, 0):
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b'{"status":"alive"}'
        time.sleep(pause)
    connection.close()


def test_what_is_no_http_harms_nobody(service):
    for garbage in (b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"POST /recall HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as connection:
            connection.sendall(garbage)
            connection.recv(1000)
    assert service.recall(k=1)["candidates"]


def test_the_log_has_one_json_line_a_request_and_no_words(service):
    answer = service.recall(text="xyzzy plugh", k=1)
    service.post({"text": "xyzzy plugh", "k": 0})
    lines = [line for line in service.log("request") if line["request_id"] == answer["request_id"]]
    assert len(lines) == 1
    assert lines[0]["timings_ms"] == answer["timings_ms"]
    assert "xyzzy" not in (service.folder / "out").read_text() + service.errors
    (opened,) = service.log("artifact_opened")
    assert opened["artifact_id"] == answer["artifact_id"]
    assert opened["probe_cosine"] > 0.96  # int8 may serve: see PROBE_COSINES


# Start and end


def test_sigterm_ends_it_after_those_under_way_are_answered(artifacts, tmp_path):
    body = json.dumps({"text": "one last wish", "k": 2}).encode()
    with Service(tmp_path / "service", artifacts) as service:
        service.wait_until_ready()
        # The server says 100 when the service begins to read: from then on the request is under way.
        connections = [service.open_request(body, "Expect: 100-continue") for _ in range(8)]
        for connection in connections:
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        service.process.terminate()
        service.wait_until_closed()
        for connection in connections:
            connection.sendall(body)
        for connection in connections:
            with connection, connection.makefile("rb") as stream:
                assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
                assert b'"candidates":[{' in stream.read()
        assert service.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert service.errors == ""
        assert len(service.log("request")) == 8


def test_uvicorn_serves_it_too(artifacts, tmp_path):
    command = ("-m", "uvicorn", "app.main:app", "--port", "PORT", "--log-level", "warning")
    with Service(tmp_path / "service", artifacts, command=command) as service:
        service.wait_until_ready()
        assert service.recall(text="mountain boots", k=1)["candidates"]
        assert service.terminate() in (0, -signal.SIGTERM)
        assert len(service.log("request")) == 1  # written after the answer
        assert service.errors == ""


def test_workers_answer_and_their_metrics_are_summed(artifacts, tmp_path):
    with Service(tmp_path / "service", artifacts, WORKERS="2", THREADS="1") as service:
        service.wait_until_ready()
        responses = [service.post({"k": 1}) for _ in range(40)]  # a connection each
        assert {response.status_code for response in responses} == {200}
        assert service.post({"k": 0}).status_code == 422
        for _ in range(6):  # whichever worker is asked
            text = httpx.get(f"{service.url}/metrics").text
            samples = {
                (sample.name, *sorted(sample.labels.values())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
            assert samples["recall_requests_total", "/recall", "200"] == 40
            assert samples["recall_requests_total", "/recall", "422"] == 1
            assert samples["recall_fallbacks_total", "popular"] == 40
            assert next(value for key, value in samples.items() if key[0] == "recall_artifact_items") == 60
        assert httpx.get(f"{service.url}/info").json()["workers"] == 2
        (shared,) = service.folder.glob("recall-metrics-*")
        assert len({path.stem.split("_")[-1] for path in shared.glob("counter_*.db")}) >= 2
        assert service.terminate() in (0, -signal.SIGTERM)
        assert not list(service.folder.glob("recall-metrics-*"))
        assert service.errors == ""
        assert len(service.log("request")) == 41 + 1  # and /info


@pytest.mark.parametrize("name", ["encoder/openvino_model.bin", "manifest.json"])
def test_a_damaged_artifact_is_refused_in_one_line_that_names_the_file(artifacts, tmp_path, name):
    copy = tmp_path / "artifacts"
    shutil.copytree(artifacts, copy, symlinks=True, copy_function=os.link)
    path = (copy / "current" / name).resolve()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.unlink()  # the original keeps its bytes
    path.write_bytes(raw)
    with Service(tmp_path / "service", copy) as service:
        assert service.process.wait(PATIENCE) == 1
        (line,) = service.errors.splitlines()
    assert line.startswith("error: artifact ")
    assert name in line


def test_a_port_that_is_taken_is_an_error(service, tmp_path, artifacts):
    with Service(tmp_path / "service", artifacts, PORT=str(service.port)) as second:
        assert second.process.wait(PATIENCE) != 0
        assert "address already in use" in second.errors
        assert "Traceback" not in second.errors
    assert service.recall(k=1)["candidates"]
