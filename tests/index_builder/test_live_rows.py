"""Changes of items become part of the next build, once, and stay live over the artifacts that lack them."""

from pathlib import Path

import pytest

from index_builder.config import load_config
from index_builder.live_rows import LiveRows, fold, read_live_rows
from models.artifact import Artifact
from models.artifact_store import ArtifactStore
from models.live_items import Change
from models.live_stores import open_live_store
from models.text import TextRecipe
from models.types import Item
from tests.app.harness import ids
from tests.app.swapping import serving_store
from tests.index_builder.shop import append, change_rows, opened, rebuild

LAMP = {"title": "zyzzyva lantern", "description": "glows", "price": 9}


@pytest.fixture
def shop(demo: Path) -> Path:
    """The small demo whose builds look at the service's state."""
    append(demo / "recall.toml", '\n[feedback]\nsource = "state"\n')
    return demo


def put(shop: Path, *changes: Change) -> int:
    store = open_live_store(str(shop / "state"))
    seq = store.put(changes)
    store.close()
    return seq


def fields_of(artifact: Artifact, item_id: str) -> dict:
    return artifact.fields.get(artifact.rows[item_id])


def test_a_build_takes_new_changed_and_deleted_items(shop: Path) -> None:
    cut = put(shop, Change("lamp", LAMP), Change("hike-boots", {"price": 1}), Change("hike-map", None))
    report = rebuild(shop)
    artifact = opened(shop)
    assert (report.n_items, report.n_encoded) == (60, 1)
    assert artifact.manifest.live_seq == cut
    assert artifact.manifest.text_fields == ("title", "description")
    assert fields_of(artifact, "lamp") == {**LAMP, "category": None, "brand": None}
    assert fields_of(artifact, "hike-boots")["price"] == 1
    assert fields_of(artifact, "hike-boots")["title"]
    assert "hike-map" not in artifact.rows


def test_the_build_after_that_gives_the_catalogue_the_word_again(shop: Path) -> None:
    put(shop, Change("lamp", LAMP), Change("hike-boots", {"price": 1}))
    rebuild(shop)
    change_rows(
        shop / "items.jsonl", lambda rows: rows.append({"item_id": "lamp", **LAMP, "title": "from the catalogue"})
    )
    rebuild(shop)
    assert fields_of(opened(shop), "lamp")["title"] == "from the catalogue"
    assert fields_of(opened(shop), "hike-boots")["price"] != 1


def test_a_change_after_the_cut_takes_nothing_back_from_before_it(shop: Path) -> None:
    put(shop, Change("hike-boots", {"price": 1}))
    rebuild(shop)
    put(shop, Change("hike-boots", {"brand": "new"}))
    rebuild(shop)
    boots = fields_of(opened(shop), "hike-boots")
    assert boots["brand"] == "new"
    assert boots["price"] != 1


def test_what_every_artifact_holds_is_trimmed(shop: Path) -> None:
    append(shop / "recall.toml", "")
    config = load_config(shop / "recall.toml")
    put(shop, Change("lamp", LAMP))
    rebuild(shop)
    assert [record.id for record in read_live_rows(config, 0).records] == ["lamp"]  # the first artifact lacks it
    store = ArtifactStore(shop / "artifacts")
    rebuild(shop)
    store.prune(1)
    rebuild(shop)
    assert read_live_rows(config, 0).records == []


def test_without_feedback_there_is_nothing_to_take(demo: Path) -> None:
    assert read_live_rows(load_config(demo / "recall.toml"), 5) == LiveRows([], 5, 5)


def test_an_item_without_text_is_dropped(shop: Path) -> None:
    config = load_config(shop / "recall.toml")
    put(shop, Change("a", {"title": " "}), Change("new", {"price": 1}))
    items = [Item("a", "text", {"title": "text"}), Item("b", "text", {"title": "text"})]
    assert [item.id for item in fold(items, read_live_rows(config, 0), config, TextRecipe())] == ["b"]


async def test_swap_and_rollback_show_each_artifact_with_what_it_lacks(shop: Path, store: ArtifactStore) -> None:
    async with serving_store(store, state=shop / "state") as client:

        async def all_ids() -> set[str]:
            answer = (await client.post("/recall", json={"text": "lantern", "k": 1000})).json()
            assert answer["artifact_id"] == store.current_id()
            assert len(set(ids(answer))) == len(ids(answer))
            return set(ids(answer))

        async def put_lamp(item_id: str) -> None:
            answer = await client.put("/items", json={"items": [{"id": item_id, **LAMP}]})
            assert answer.json()["accepted"] == 1

        before = await all_ids()
        await put_lamp("early")
        rebuild(shop)
        await client.post("/admin/reload")
        assert opened(shop).rows["early"] == 60
        assert await all_ids() == before | {"early"}
        await put_lamp("late")
        assert await all_ids() == before | {"early", "late"}
        await client.post("/admin/rollback")
        assert "early" not in opened(shop).rows
        assert await all_ids() == before | {"early", "late"}
