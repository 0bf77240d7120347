"""Items that change while the service runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.artifact_store import ArtifactStore
from models.encoder import EncoderFacts
from tests.app.harness import assert_problem, ids, wrong_fields
from tests.app.swapping import go_live, recalled, serving_store, until
from tests.fakes import FakeEncoder, load_fake
from tests.index_builder.shop import append, opened, rebuild
from tests.redis_server import RedisServer

NEW = {"id": "lamp", "title": "zyzzyva lantern", "description": "glows in caves", "category": "caves", "price": 9.5}


@pytest.fixture
async def client(store: ArtifactStore) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_store(store) as client:
        yield client


async def put(client: httpx.AsyncClient, *items: Any) -> dict[str, Any]:
    response = await client.put("/items", json={"items": list(items)})
    assert response.status_code == 200, response.text
    return response.json()


async def ask(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post("/recall", json={"text": "zyzzyva lantern caves", "k": 5, **body})
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_new_item_is_recalled_at_once_with_its_fields(client):
    assert (await put(client, NEW)) == {"accepted": 1, "rejected": []}
    answer = await ask(client, with_fields=["title", "brand", "price"])
    assert answer["candidates"][0]["id"] == "lamp"
    assert answer["candidates"][0]["fields"] == {"title": NEW["title"], "brand": None, "price": 9.5}
    everything = await ask(client, k=1000)
    assert len(set(ids(everything))) == len(ids(everything)) == 61
    scores = [candidate["recall_score"] for candidate in everything["candidates"]]
    assert scores == sorted(scores, reverse=True)


async def test_live_items_are_excluded_named_in_history_and_counted(client):
    await put(client, NEW, {**NEW, "id": "lamp2"})
    answer = await ask(client, exclude_ids=["lamp"], k=1000)
    assert "lamp" not in ids(answer)
    assert "lamp2" in ids(answer)
    assert (len(ids(answer)), answer["missing_ids"]) == (61, [])
    consumed = await ask(client, text=None, history=["lamp"], exclude_seen=True, k=3)
    assert (consumed["fallback"], consumed["missing_ids"]) == (None, [])
    assert ids(consumed)[0] == "lamp2"
    popular = await ask(client, text=None, k=1000)
    assert (popular["fallback"], len(ids(popular))) == ("popular", 62)


async def test_an_attribute_alone_encodes_nothing(store):
    encoder = FakeEncoder()
    async with serving_store(store, load=lambda *_: encoder) as client:
        before = await ask(client, text="hike", with_fields=["price"])
        encoder.encoded.clear()
        await put(client, {"id": "hike-boots", "price": 1.25})
        after = await ask(client, text="hike", with_fields=["title", "price"], k=60)
        assert encoder.encoded == []
        assert [c["score"] for c in after["candidates"][:5]] == [c["score"] for c in before["candidates"]]
        boots = next(c for c in after["candidates"] if c["id"] == "hike-boots")
        assert boots["fields"]["price"] == 1.25
        assert boots["fields"]["title"]


async def test_a_text_that_changes_stands_over_the_catalogues(client):
    await put(client, {"id": "hike-boots", "title": "zyzzyva lantern", "description": "glows in caves"})
    answer = await ask(client, with_fields=["title", "category"], k=60)
    assert answer["candidates"][0]["id"] == "hike-boots"
    assert answer["candidates"][0]["fields"]["title"] == "zyzzyva lantern"
    assert answer["candidates"][0]["fields"]["category"]  # the catalogue's
    assert len(set(ids(answer))) == 60


async def test_a_deleted_item_is_gone_until_it_comes_back(client):
    for item_id in ("hike-boots", "nobody"):
        response = await client.delete(f"/items/{item_id}")
        assert (response.status_code, response.json()) == (200, {"id": item_id})
    gone = await ask(client, k=1000)
    assert "hike-boots" not in ids(gone)
    assert len(ids(gone)) == 59
    consumed = await ask(client, text=None, history=["hike-boots"], k=1)  # it says as much of the user as before
    assert (consumed["missing_ids"], consumed["fallback"]) == ([], None)
    assert (await put(client, {"id": "hike-boots", "price": 3}))["rejected"][0]["index"] == 0
    await put(client, {"id": "hike-boots", "title": "zyzzyva lantern"})
    back = await ask(client, with_fields=["title", "category"])
    assert back["candidates"][0]["fields"] == {"title": "zyzzyva lantern", "category": None}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (5, "JSON object"),
        ({"title": "x"}, "id has to be"),
        ({"id": " "}, "id has to be"),
        ({"id": "x" * 513, "title": "x"}, "513 characters"),
        ({"id": "new"}, "no text would be left"),
        ({"id": "new", "title": "<br>"}, "no text would be left"),
        ({"id": "new", "title": "x", "prize": 1}, "did you mean 'price'"),
        ({"id": "new", "title": {"en": "x"}}, "title has to be"),
        ({"id": "new", "title": "x", "price": {"eur": 1}}, "price has to be"),
        ({"id": "new", "title": "x", "price": 2**63}, "64 bits"),
        ({"id": "new", "title": "\ud800"}, "surrogate"),
    ],
)
async def test_one_that_is_wrong_is_rejected_in_its_place(client, item, reason):
    content = json.dumps({"items": [NEW, item, {**NEW, "id": 7}]})
    response = await client.put("/items", content=content, headers={"Content-Type": "application/json"})
    answer = response.json()
    assert answer["accepted"] == 2
    (rejected,) = answer["rejected"]
    assert rejected["index"] == 1
    assert reason in rejected["reason"]
    assert {"lamp", "7"} <= set(ids(await ask(client)))


async def test_a_body_that_is_wrong_is_a_422(client):
    assert wrong_fields(await client.put("/items", json={})) == ["items"]
    assert wrong_fields(await client.put("/items", json={"items": [NEW] * 1001})) == ["items"]


async def test_an_artifact_from_before_live_items_says_so(tmp_path):
    store = ArtifactStore(tmp_path)
    go_live(store, 3)
    async with serving_store(store) as client:
        body = assert_problem(await client.put("/items", json={"items": [NEW]}), 422, "invalid_request")
        assert "build it again" in body["detail"]


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Settings of services that share their state."""
    if request.param == "sqlite":
        yield {"state": tmp_path / "shared"}
        return
    with RedisServer(tmp_path) as server:
        yield {"redis_url": server.url, "redis_timeout_ms": 5_000}


async def test_other_processes_follow_and_a_restart_remembers_without_encoding_again(store, shared):
    encoded = FakeEncoder()
    async with (
        serving_store(store, **shared) as one,
        serving_store(store, load=lambda *_: encoded, **shared) as other,
    ):
        await put(one, NEW)

        async def seen() -> bool:
            return "lamp" in ids(await ask(other))

        await until(seen)
        await other.delete("/items/lamp")

        async def unseen() -> bool:
            return "lamp" not in ids(await ask(one))

        await until(unseen)
        await put(one, NEW)
    assert not any("glows" in text for text in encoded.encoded)
    again = FakeEncoder()
    async with serving_store(store, load=lambda *_: again, **shared) as later:
        assert ids(await ask(later))[0] == "lamp"
    assert not any("glows" in text for text in again.encoded)


async def test_live_items_survive_a_swap_another_encoder_and_a_rollback(demo, store):
    def load(folder: Path, facts: EncoderFacts, threads: int) -> FakeEncoder:
        return load_fake(folder, facts, threads)

    append(demo / "recall.toml", "\n[learning]\nenabled = false\n")
    async with serving_store(store, load=load) as client:
        first = store.current_id()
        await put(client, NEW)
        await client.delete("/items/hike-boots")
        for seed in (0, 1):
            rebuild(demo, seed=seed)
            assert (await client.post("/admin/reload")).json()["new"] == store.current_id()
            answer = await ask(client, k=1000)
            assert answer["artifact_id"] == store.current_id()
            assert ids(answer)[0] == "lamp"
            assert len(ids(answer)) == 60
            assert "hike-boots" not in ids(answer)
        for _ in range(2):
            await client.post("/admin/rollback")
        answer = await ask(client, k=1000)
        assert (answer["artifact_id"], ids(answer)[0], len(ids(answer))) == (first, "lamp", 60)


async def test_a_learnt_matching_makes_live_items_from_their_text(demo, store):
    append(demo / "recall.toml", "\n[learning]\nenabled = true\n")
    report = rebuild(demo)
    assert opened(demo).learnt is not None, report.warnings
    async with serving_store(store) as client:
        await put(client, NEW, {**NEW, "id": "lamp2"})
        for body in ({}, {"history": ["lamp"]}, {"text": None, "history": ["hike-boots", "lamp"]}):  # newest last
            answer = await ask(client, k=1000, **body)
            assert (len(ids(answer)), answer["missing_ids"], answer["fallback"]) == (62, [], None)
            assert "lamp2" in ids(answer)[:10]


async def test_a_store_that_fails_refuses_changes_and_serves_on(store, tmp_path):
    (tmp_path / "file").write_text("")
    async with serving_store(store, state=tmp_path / "file") as client:
        assert_problem(await client.put("/items", json={"items": [NEW]}), 503, "store_unavailable")
        assert_problem(await client.delete("/items/lamp"), 503, "store_unavailable")
        assert (await recalled(client))[1] == 60


async def test_what_is_put_while_artifacts_are_swapped_never_goes_missing(demo, store):
    ids_of = [store.current_id(), rebuild(demo).artifact_id]
    async with serving_store(store) as client:
        stop = asyncio.Event()

        async def swap() -> None:
            while not stop.is_set():
                for artifact_id in ids_of:
                    store.activate(artifact_id)
                    assert (await client.post("/admin/reload")).status_code == 200

        swapping = asyncio.create_task(swap())
        for number in range(20):
            await put(client, {**NEW, "id": f"lamp{number}"})
            found = set(ids(await ask(client, k=1000)))
            assert {f"lamp{earlier}" for earlier in range(number + 1)} <= found
        stop.set()
        await swapping


async def test_readiness_searches_with_the_live_items(client):
    await put(client, NEW)
    assert (await client.get("/readyz")).status_code == 200
