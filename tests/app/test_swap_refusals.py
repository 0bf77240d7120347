"""A new artifact that is wrong: refused, said everywhere, and the old one serves on."""

import asyncio
from pathlib import Path

import pytest

from models.artifact_store import CURRENT, ArtifactStore
from models.encoder import EncoderFacts
from tests.app.harness import assert_problem
from tests.app.swapping import damage, go_live, metric, publish_sized, recalled, serving_store, until
from tests.fakes import FakeEncoder, fake_facts

REFUSED = 'recall_artifact_swaps_total{outcome="refused"}'


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A folder whose live artifact has 3 items."""
    store = ArtifactStore(tmp_path / "artifacts")
    go_live(store, 3)
    return store


async def test_a_damaged_one_is_refused_once_and_said_everywhere(store, logs):
    async with serving_store(store, reload_seconds=0.01) as client:
        assert (await client.get("/info")).json()["artifact_refused"] is None
        before, first = await metric(client, REFUSED), store.current_id()
        mend = damage(store, second := publish_sized(store, 4))
        store.activate(second)

        async def refused() -> bool:
            return (await metric(client, REFUSED)) > before

        await until(refused)
        await asyncio.sleep(0.1)  # ten looks
        assert await metric(client, REFUSED) == before + 1
        assert await metric(client, "recall_artifact_refused") == 1
        assert (await recalled(client))[:2] == (first, 3)
        told = (await client.get("/info")).json()["artifact_refused"]
        assert told["artifact_id"] == second
        assert "item_embeddings.npy" in told["reason"]
        assert told["at"].endswith("+00:00")
        (line,) = [line for line in logs if line["event"] == "artifact_refused"]
        assert (line["artifact_id"], line["serving"]) == (second, first)
        # A call tries it again.
        assert_problem(await client.post("/admin/reload"), 503, "artifact_unusable")
        mend()
        assert (await client.post("/admin/reload")).json()["new"] == second
        assert await metric(client, "recall_artifact_refused") == 0


async def test_after_a_refusal_another_one_is_taken(store):
    async with serving_store(store, reload_seconds=0.01) as client:
        damage(store, broken := publish_sized(store, 4), "manifest.json")
        before = await metric(client, REFUSED)
        store.activate(broken)

        async def refused() -> bool:
            return (await metric(client, REFUSED)) > before

        await until(refused)
        third = go_live(store, 5)

        async def swapped() -> bool:
            return (await recalled(client))[0] == third

        await until(swapped)
        assert await metric(client, "recall_artifact_refused") == 0


async def test_a_refused_one_is_tried_again_after_a_while(store, monkeypatch):
    """Files of a shared volume may come later than the pointer to them."""
    monkeypatch.setattr("app.swap._RETRY_SECONDS", 0.05)
    async with serving_store(store, reload_seconds=0.01) as client:
        second = publish_sized(store, 4)
        late = store.root / second
        late.rename(store.root / ".late")
        (store.root / CURRENT).unlink()
        (store.root / CURRENT).symlink_to(second)
        before = await metric(client, REFUSED)

        async def refused() -> bool:
            return (await metric(client, REFUSED)) > before

        await until(refused)
        (store.root / ".late").rename(late)

        async def swapped() -> bool:
            return (await recalled(client))[0] == second

        await until(swapped)


async def test_a_pointer_that_is_gone_changes_nothing(store):
    first = store.current_id()
    async with serving_store(store, reload_seconds=0.01) as client:
        before = await metric(client, REFUSED)
        (store.root / CURRENT).unlink()

        async def refused() -> bool:
            return (await metric(client, REFUSED)) > before

        await until(refused)
        assert (await client.get("/info")).json()["artifact_refused"]["artifact_id"] is None
        assert (await recalled(client))[0] == first


async def test_an_encoder_that_does_not_reproduce_the_probe_is_refused(store):
    first = store.current_id()

    def load(folder: Path, facts: EncoderFacts, threads: int) -> FakeEncoder:
        return FakeEncoder(seed=int(facts.fingerprint == "fake-1"))

    async with serving_store(store, load=load) as client:
        go_live(store, 4, encoder=fake_facts(1))
        body = assert_problem(await client.post("/admin/reload"), 503, "artifact_unusable")
        assert "probe" in body["detail"]
        assert (await recalled(client))[:2] == (first, 3)


async def test_whatever_breaks_while_opening_the_old_one_serves_on(store, monkeypatch):
    first = store.current_id()
    async with serving_store(store) as client:
        go_live(store, 4)
        with monkeypatch.context() as patch:
            patch.setattr(ArtifactStore, "open", lambda *arguments: 1 / 0)
            assert_problem(await client.post("/admin/reload"), 500, "internal")
        assert (await recalled(client))[0] == first
        assert "ZeroDivisionError" in (await client.get("/info")).json()["artifact_refused"]["reason"]
