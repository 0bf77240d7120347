"""One artifact for another while requests are answered."""

import asyncio
import gc
import os
import signal
import weakref
from pathlib import Path

import pytest

from app.factory import create_app
from app.settings import ServiceSettings
from models.artifact_store import ArtifactStore
from models.encoder import EncoderFacts
from tests.app.harness import MoodyEncoder, assert_problem, running
from tests.app.swapping import ALL, damage, go_live, metric, recalled, serving_store, until
from tests.fakes import FakeEncoder, fake_facts, load_fake

MAPS = Path("/proc/self/maps")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A folder whose live artifact has 3 items."""
    store = ArtifactStore(tmp_path / "artifacts")
    go_live(store, 3)
    return store


# Noticing


async def test_a_new_current_is_noticed(store):
    async with serving_store(store, reload_seconds=0.01) as client:
        first = store.current_id()
        assert (await recalled(client))[:2] == (first, 3)
        second = go_live(store, 4)

        async def swapped() -> bool:
            return (await recalled(client))[:2] == (second, 4)

        await until(swapped)
        assert (await client.get("/info")).json()["artifact"]["artifact_id"] == second
        assert (await client.get("/readyz")).json()["artifact_id"] == second
        assert await metric(client, f'recall_artifact_items{{artifact_id="{first}"}}') == 0
        assert await metric(client, f'recall_artifact_items{{artifact_id="{second}"}}') == 4


async def test_reload_answers_when_the_new_one_is_served(store):
    async with serving_store(store) as client:
        first, second = store.current_id(), go_live(store, 4)
        answer = await client.post("/admin/reload")
        assert answer.status_code == 200
        assert answer.json().items() >= {"old": first, "new": second}.items()
        assert (await recalled(client))[:2] == (second, 4)
        again = (await client.post("/admin/reload")).json()
        assert (again["old"], again["new"]) == (second, second)


async def test_sighup_reloads(store):
    async with serving_store(store) as client:
        second = go_live(store, 4)
        os.kill(os.getpid(), signal.SIGHUP)

        async def swapped() -> bool:
            return (await recalled(client))[0] == second

        await until(swapped)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


# Going back


async def test_rollback_goes_back_and_again_further_back(store):
    ids = [store.current_id(), go_live(store, 4), go_live(store, 5)]
    async with serving_store(store) as client:
        for old, new, n_items in ((ids[2], ids[1], 4), (ids[1], ids[0], 3)):
            answer = await client.post("/admin/rollback")
            assert answer.json().items() >= {"old": old, "new": new}.items()
            assert store.current_id() == new
            assert (await recalled(client))[:2] == (new, n_items)
        body = assert_problem(await client.post("/admin/rollback"), 409, "no_previous_artifact")
        assert ids[0] in body["detail"]
        assert (await recalled(client))[0] == ids[0]


async def test_rollback_leaves_a_damaged_previous_one_alone(store):
    first, second = store.current_id(), go_live(store, 4)
    async with serving_store(store) as client:
        mend = damage(store, first)
        assert_problem(await client.post("/admin/rollback"), 503, "artifact_unusable")
        assert store.current_id() == second
        assert (await recalled(client))[0] == second
        mend()
        assert (await client.post("/admin/rollback")).json()["new"] == first


async def test_what_was_hashed_once_is_not_read_again_unless_it_changed(store, monkeypatch):
    first, second = store.current_id(), go_live(store, 4)
    async with serving_store(store) as client:
        assert (await client.post("/admin/rollback")).json()["new"] == first
        with monkeypatch.context() as patch:
            patch.setattr("models.artifact.file_facts", lambda path: 1 / 0)
            store.activate(second)
            assert (await client.post("/admin/reload")).json()["new"] == second
        damage(store, first)
        assert_problem(await client.post("/admin/rollback"), 503, "artifact_unusable")


async def test_a_folder_that_cannot_be_written_says_what_to_do(store, monkeypatch):
    second = go_live(store, 4)

    def refuse(self: ArtifactStore, artifact_id: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(ArtifactStore, "roll_back", refuse)
    async with serving_store(store) as client:
        body = assert_problem(await client.post("/admin/rollback"), 500, "misconfigured")
        assert "Read-only file system" in body["detail"]
        assert "index_builder rollback" in body["detail"]
        assert (await recalled(client))[0] == second


# What is kept and what is let go


async def test_an_encoder_that_did_not_change_and_its_vectors_are_kept(store):
    loaded = []

    def load(folder: Path, facts: EncoderFacts, threads: int) -> FakeEncoder:
        loaded.append(load_fake(folder, facts, threads))
        return loaded[-1]

    async with serving_store(store, load=load) as client:
        assert (await recalled(client))[2] == "miss"
        go_live(store, 4)
        await client.post("/admin/reload")
        assert (await recalled(client))[1:] == (4, "hit")
        assert len(loaded) == 1
        go_live(store, 5, encoder=fake_facts().model_copy(update={"fingerprint": "another"}))
        await client.post("/admin/reload")
        assert (await recalled(client))[1:] == (5, "miss")
        assert len(loaded) == 2
        await client.post("/admin/rollback")
        assert (await recalled(client))[1:] == (4, "hit")  # memory has kept it
        assert len(loaded) == 3


async def test_a_request_under_way_ends_on_what_it_began_with(store):
    slow, first = MoodyEncoder(), store.current_id()
    encoders = iter([slow, FakeEncoder()])
    async with serving_store(store, load=lambda *_: next(encoders)) as client:
        slow.gate.clear()
        early = asyncio.create_task(recalled(client, "early"))

        async def encoding() -> bool:
            return "early" in slow.encoded

        await until(encoding)
        second = go_live(store, 4, encoder=fake_facts().model_copy(update={"fingerprint": "another"}))
        assert (await client.post("/admin/reload")).json()["new"] == second
        assert (await recalled(client, "late"))[:2] == (second, 4)
        assert not early.done()
        slow.gate.set()
        assert (await early)[:2] == (first, 3)


@pytest.mark.skipif(not MAPS.exists(), reason="needs Linux' list of mappings")
async def test_the_old_one_is_freed_at_once(store):
    app = create_app(ServiceSettings(threads=2, reload_seconds=3600, artifacts=store.root), load=load_fake)
    async with running(app) as client:
        await recalled(client)
        engine = weakref.ref(app.state.swapper.pipeline.engine)
        first = store.current_id()
        assert first in MAPS.read_text()
        go_live(store, 4)
        gc.disable()  # no cycle may keep it
        try:
            await client.post("/admin/reload")
            await recalled(client)
            assert engine() is None
            assert first not in MAPS.read_text()
        finally:
            gc.enable()


# Under load


@pytest.mark.parametrize("change", ["reload", "rollback"])
async def test_answers_under_load_are_all_of_the_artifact_they_name(store, change):
    sizes = {store.current_id(): 3}
    for n_items in range(4, 14):
        sizes[go_live(store, n_items)] = n_items
    async with serving_store(store, cache_entries=0) as client:
        stop = asyncio.Event()
        answers: list[tuple[str, int]] = []

        async def ask(worker: int) -> None:
            while not stop.is_set():
                artifact_id, n_items, _ = await recalled(client, f"text {worker} {len(answers)}")
                answers.append((artifact_id, n_items))

        async def batch() -> None:
            while not stop.is_set():
                body = {"requests": [{"text": f"{n}", "k": ALL} for n in range(3)]}
                found = (await client.post("/recall/batch", json=body)).json()["responses"]
                assert len({answer["artifact_id"] for answer in found}) == 1
                answers.extend((answer["artifact_id"], len(answer["candidates"])) for answer in found)

        workers = [asyncio.create_task(ask(worker)) for worker in range(8)] + [asyncio.create_task(batch())]

        async def answered(artifact_id: str) -> bool:
            return artifact_id in {named for named, _ in answers[-5:]}

        *others, live = sizes
        await until(lambda: answered(live))
        for artifact_id in reversed(others):
            if change == "reload":
                store.activate(artifact_id)
            assert (await client.post(f"/admin/{change}")).json()["new"] == artifact_id
            await until(lambda artifact_id=artifact_id: answered(artifact_id))
        stop.set()
        await asyncio.gather(*workers)
        assert all(sizes[artifact_id] == n_items for artifact_id, n_items in answers)


async def test_two_services_on_one_folder_come_to_the_same(store):
    first = store.current_id()
    async with serving_store(store, reload_seconds=0.01) as one, serving_store(store, reload_seconds=0.01) as other:
        second = go_live(store, 4)

        async def both(artifact_id: str) -> bool:
            return {(await recalled(client))[0] for client in (one, other)} == {artifact_id}

        await until(lambda: both(second))
        assert (await other.post("/admin/rollback")).json()["new"] == first
        await until(lambda: both(first))
        await asyncio.sleep(0.05)
        assert await both(first)
