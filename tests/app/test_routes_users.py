"""Events in, users out: what is taken, shown and erased, and what happens while the store is away."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from app.schemas import MAX_EVENTS
from models.event_stores import open_store
from models.events import START, Erasure, user_hash
from tests.app.harness import assert_problem, ids, serving, wrong_fields
from tests.app.users import ask, essence, event, post
from tests.redis_server import RedisServer

# Events


async def test_each_event_is_taken_or_rejected_on_its_own(service, stored):
    answer = await post(
        service,
        event("e1"),
        event("e2", user=""),
        5,
        None,
        event("e3", timestamp=1_700_000_000_000),
        {"event_id": "e4"},
        event("e5", colour="red"),
        event("e6", text="good", rating=5, timestamp="2025-01-02T03:04:05Z", request_id="r"),
        event("e1"),
    )
    assert answer["accepted"] == 3
    assert [one["index"] for one in answer["rejected"]] == [1, 2, 3, 4, 5, 6]
    reasons = [one["reason"] for one in answer["rejected"]]
    assert reasons[0] == "user_id: it is blank; send an id"
    assert reasons[1] == reasons[2] == "body: must be a JSON object"
    assert "more than a day ahead" in reasons[3]
    assert all(name in reasons[4] for name in ("user_id", "item_id", "type"))
    assert reasons[5] == "colour: there is no such field"
    store = open_store(stored.get("redis_url", str(stored["state"])))
    assert [record.content.event_id for record in store.read(START, 10)] == ["e1", "e6"]
    store.close()


async def test_a_reason_never_repeats_a_value(service):
    secret = "xyzzy-plugh"
    wrong = [event("e", timestamp=secret), event("e", rating=secret), event("e", text=[secret]), secret]
    answer = await post(service, *wrong)
    assert len(answer["rejected"]) == 4
    assert secret not in str(answer)


async def test_nothing_taken_is_an_answer_too(service):
    assert await post(service) == {"accepted": 0, "rejected": []}


async def test_a_call_takes_up_to_a_thousand_events(sqlite_service):
    events = [event(f"e{n}", user=f"u{n % 7}") for n in range(MAX_EVENTS)]
    assert (await post(sqlite_service, *events))["accepted"] == MAX_EVENTS
    response = await sqlite_service.post("/feedback", json={"events": [*events, event("more")]})
    assert wrong_fields(response) == ["events"]
    assert (await sqlite_service.get("/info")).json()["limits"]["events"] == MAX_EVENTS


@pytest.mark.parametrize(("body", "field"), [({}, "events"), ({"events": {}}, "events"), ({"events": [], "a": 1}, "a")])
async def test_a_body_that_is_wrong_names_the_field(sqlite_service, body, field):
    assert wrong_fields(await sqlite_service.post("/feedback", json=body)) == [field]


async def test_a_million_unknown_fields_are_one_short_reason(sqlite_service):
    answer = await post(sqlite_service, {f"field{n}": n for n in range(100_000)})
    assert len(str(answer)) < 3_000


async def test_events_are_counted_and_logged_without_words(sqlite_service, logs):
    await post(sqlite_service, event("e1", text="xyzzy"), event("e1"), 5)
    text = (await sqlite_service.get("/metrics")).text
    for outcome in ("accepted", "duplicate", "rejected"):
        assert f'recall_events_total{{outcome="{outcome}"}}' in text
    (line,) = [entry for entry in logs if entry.get("route") == "/feedback"]
    assert (line["accepted"], line["duplicate"], line["rejected"]) == (1, 1, 1)
    assert "xyzzy" not in str(logs)


# Users


async def test_a_profile_is_shown(service):
    await post(
        service,
        event("e1", "a", "view", timestamp=10, text="words"),
        event("e2", "a", "purchase", timestamp=30),
        event("e3", "b", "dislike", timestamp=20),
        event("e4", "c", "click", timestamp=5),
    )
    assert (await service.get("/users/u")).json() == {
        "user_id": "u",
        "history": [{"id": "c", "weight": 1.0, "time": 5.0}, {"id": "a", "weight": 3.0, "time": 30.0}],
        "texts": [{"text": "words", "time": 10.0}],
        "seen": ["a", "b", "c"],
    }


@pytest.mark.parametrize("user", ["a/b", "ü 山?#%", "'; DROP TABLE signal; --", "..%2f", "a\x00b", "*", "{u}:texts:"])
async def test_a_user_id_is_any_text(service, user):
    await post(service, event("e1", "hike-map", user=user), event("e2", "hike-stove", user="other"))
    path = f"/users/{quote(user, safe='')}"
    assert (await service.get(path)).json()["user_id"] == user
    assert (await service.delete(path)).json() == {"user_id": user, "erased_events": 1}
    assert_problem(await service.get(path), 404, "unknown_user")
    assert (await service.get("/users/other")).status_code == 200


async def test_an_erasure_leaves_neither_profile_nor_events(service, stored):
    await post(service, event("e1", "hike-map", text="my own words"), event("e2", "hike-map", user="other"))
    await post(service, event("e3", "hike-stove"))
    assert (await service.delete("/users/u")).json()["erased_events"] == 2
    assert essence(await ask(service, user_id="u", exclude_seen=True)) == essence(await ask(service))
    store = open_store(stored.get("redis_url", str(stored["state"])))
    contents = [record.content for record in store.read(START, 10)]
    assert [getattr(one, "user_id", one) for one in contents] == ["other", Erasure(user_hash("u"))]
    store.close()
    for file in Path(stored["state"]).glob("*"):
        assert b"my own words" not in file.read_bytes()


async def test_a_user_who_is_unknown_can_be_erased(service):
    response = await service.delete("/users/nobody")
    assert (response.status_code, response.json()) == (200, {"user_id": "nobody", "erased_events": 0})


async def test_keys_are_needed(engine, tmp_path):
    async with serving(engine, state=tmp_path / "state", api_keys="key") as client:
        for method, path in (("POST", "/feedback"), ("GET", "/users/u"), ("DELETE", "/users/u")):
            assert_problem(await client.request(method, path, json={"events": []}), 401, "unauthorized")
        response = await client.post("/feedback", json={"events": []}, headers={"X-API-Key": "key"})
        assert response.status_code == 202


# The store away


@pytest.mark.redis
async def test_without_redis_events_are_refused_and_answers_go_on(engine, tmp_path):
    with RedisServer(tmp_path) as server:
        async with serving(engine, redis_url=server.url, redis_timeout_ms=500) as client:
            await post(client, event("e1", "hike-map"))
            server.stop()
            for _ in range(7):  # the last ones meet an open breaker
                response = await client.post("/feedback", json={"events": [event("e2")]})
                assert_problem(response, 503, "store_unavailable")
                answer = await ask(client, user_id="u", text="boots", k=3)
                assert "profile" in answer["degraded"]
                assert len(ids(answer)) == 3
            assert "profile" not in (await ask(client, text="boots", k=1))["degraded"]
            assert_problem(await client.get("/users/u"), 503, "store_unavailable")
            assert_problem(await client.delete("/users/u"), 503, "store_unavailable")
            assert (await client.get("/readyz")).status_code == 200
            server.start()
            while (await client.post("/feedback", json={"events": [event("e3")]})).status_code == 503:
                await asyncio.sleep(0.2)
            while (await ask(client, user_id="u"))["degraded"]:
                await asyncio.sleep(0.2)


@pytest.mark.redis
async def test_a_full_redis_refuses_events_and_still_shows_profiles(engine, tmp_path):
    with RedisServer(tmp_path) as server:
        async with serving(engine, redis_url=server.url, redis_timeout_ms=20_000) as client:
            await post(client, event("e1", "hike-map"))
            server.fill()
            assert_problem(await client.post("/feedback", json={"events": [event("e2")]}), 503, "store_unavailable")
            assert (await client.get("/users/u")).status_code == 200
            server.unfill()
            assert await post(client, event("e2")) == {"accepted": 1, "rejected": []}


async def test_a_state_folder_that_cannot_be_written_refuses_events_and_answers_go_on(engine, tmp_path):
    (tmp_path / "file").write_text("")
    async with serving(engine, state=tmp_path / "file" / "state") as client:
        problem = assert_problem(
            await client.post("/feedback", json={"events": [event("e1")]}), 503, "store_unavailable"
        )
        assert "folder" in problem["detail"]
        assert (await ask(client, user_id="u", k=1))["degraded"] == []  # nothing is there, so nothing is lost


async def test_a_damaged_file_costs_profiles_and_nothing_else(engine, tmp_path):
    (tmp_path / "state.sqlite3").write_bytes(b"no database " * 1_000)
    async with serving(engine, state=tmp_path) as client:
        assert (await ask(client, user_id="u", k=1))["degraded"] == ["profile"]
        assert_problem(await client.post("/feedback", json={"events": [event("e1")]}), 503, "store_unavailable")


async def test_no_request_waits_longer_than_its_deadline_for_a_profile(engine, tmp_path):
    with RedisServer(tmp_path) as server:
        async with serving(engine, redis_url=server.url, redis_timeout_ms=3_000) as client:
            server.pause()
            response = await client.post("/recall", json={"user_id": "u", "timeout_ms": 20})
            server.resume()
    assert_problem(response, 504, "deadline_exceeded")
