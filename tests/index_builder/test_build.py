import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index_builder.build import build
from index_builder.config import TextConfig, load_config
from index_builder.contents import PROBE_TEXT, text_recipe
from models.artifact_store import ArtifactStore
from models.errors import ConfigError
from models.manifest import Manifest
from tests.fakes import FakeEncoder, fake_facts, prepare_fake
from tests.index_builder.shop import REPORT_KEYS, append, change_rows, opened, rebuild, rows_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A new catalogue of four items and no artifact."""
    items = [
        {"id": 1, "title": "Red <b>boots</b>", "text": "for the mountains", "price": 9.5},
        {"id": "b", "title": "Tea", "text": None, "price": None},
        {"id": "c", "title": "緑茶", "text": "", "price": 3},
        {"id": "d", "title": "Tea", "text": "", "price": 4},
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "recall.toml").write_text(
        '[catalogue]\npath = "items.jsonl"\nid = "id"\ntext = ["title", "text"]\nattributes = ["price", "title"]\n'
    )
    return tmp_path


def test_a_catalogue_becomes_the_live_artifact(shop: Path) -> None:
    encoder = FakeEncoder()
    report = rebuild(shop, encoder=encoder)
    artifact = opened(shop)
    assert artifact.manifest.artifact_id == report.artifact_id
    assert artifact.item_ids == ["1", "b", "c", "d"]
    assert sorted(encoder.encoded) == ["Red boots for the mountains", "Tea", "緑茶"]
    assert (report.n_items, report.n_rows, report.n_encoded, report.n_reused) == (4, 4, 3, 1)
    expected = [FakeEncoder().encode_user(text)[0] for text in ("Red boots for the mountains", "Tea", "緑茶", "Tea")]
    np.testing.assert_allclose(artifact.embeddings, expected, atol=1e-6)
    assert artifact.manifest.item_fields == ("title", "text", "price")
    assert artifact.fields.get(0) == {"title": "Red <b>boots</b>", "text": "for the mountains", "price": 9.5}
    assert artifact.popularity.tolist() == [0, 0, 0, 0]
    assert not artifact.manifest.relation_head.trained
    assert artifact.manifest.probe.text == PROBE_TEXT
    assert artifact.manifest.parent is None


def test_an_item_without_text_stays_where_interactions_name_it(demo: Path, store: ArtifactStore) -> None:
    named = rows_of(demo / "interactions.jsonl")[0]["item_id"]
    empty = {"title": " ", "description": "<p></p>", "category": "x", "brand": "y", "price": 1}
    append(demo / "items.jsonl", json.dumps({"item_id": "nobody-knows", **empty}) + "\n")
    append(demo / "recall.toml", "")
    toml = (demo / "recall.toml").read_text().replace("[catalogue]\n", "[catalogue]\nmax_reject_share = 0.02\n")
    (demo / "recall.toml").write_text(toml)

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["item_id"] == named:
                row.update(empty)

    change_rows(demo / "items.jsonl", change)
    report = rebuild(demo)
    assert named in store.open().item_ids
    assert "nobody-knows" not in store.open().item_ids
    assert report.rejects["catalogue"]["counts"] == {"empty_text": 1}
    assert any(f"1 items have no text and stay because interactions name them: {named}" in w for w in report.warnings)


def test_the_report_has_the_documented_keys(demo: Path) -> None:
    report = json.loads(rebuild(demo).model_dump_json())
    assert set(report) == REPORT_KEYS
    assert report["index"] == {"kind": "flat"}
    assert set(report["quality"]) == {"ann_recall@100", "validation"}
    assert set(report["interactions"]) == {
        "n_rows", "n_used", "n_users", "n_below_min_rating", "n_unrated", "n_unknown_items",
    }  # fmt: skip
    assert set(report["rejects"]) == {"catalogue", "interactions"}
    assert set(report["rejects"]["catalogue"]) == {"rejected", "share", "counts", "examples", "file"}
    stages = {"read", "encoder", "encode", "learn", "index", "runtime", "write", "verify", "publish"}
    assert set(report["seconds"]) == stages
    text = (ROOT / "docs" / "building.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in text for key in REPORT_KEYS)


def test_counts_of_interactions_add_up(demo: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["rating"] = 1
        rows[1]["item_id"] = "unknown"

    change_rows(demo / "interactions.jsonl", change)
    counts = rebuild(demo).interactions
    assert counts is not None
    assert counts.n_rows == 172 == counts.n_used + counts.n_below_min_rating + counts.n_unrated + counts.n_unknown_items
    assert counts.n_unknown_items == 1
    assert counts.n_below_min_rating >= 1


def test_popularity_counts_each_user_once(demo: Path, store: ArtifactStore) -> None:
    rows = rows_of(demo / "interactions.jsonl")
    twice = next(row for row in rows if row["rating"] >= 3)
    change_rows(demo / "interactions.jsonl", lambda rows: rows.extend([twice] * 5))
    rebuild(demo)
    artifact = store.open()
    users: dict[str, set[str]] = {}
    for row in rows:
        if row["rating"] >= 3:
            users.setdefault(row["item_id"], set()).add(row["user_id"])
    assert artifact.popularity.tolist() == [len(users.get(item_id, ())) for item_id in artifact.item_ids]


def manifest_with(shop: Path, toml: str) -> Manifest:
    append(shop / "recall.toml", toml)
    rebuild(shop)
    return opened(shop).manifest


def test_the_switches_of_the_recipe_act_and_are_recorded(shop: Path) -> None:
    append(shop / "recall.toml", '\n[text]\nstrip_punctuation = true\nstop_words = "en"\n')
    append(shop / "items.jsonl", json.dumps({"id": "e", "title": "The cup, and (a) saucer!", "price": 1}) + "\n")
    encoder = FakeEncoder()
    rebuild(shop, encoder=encoder)
    recipe = opened(shop).manifest.text_recipe
    assert recipe.strip_punctuation
    assert {"the", "and", "a"} < set(recipe.stop_words)
    assert list(recipe.stop_words) == sorted(recipe.stop_words)
    assert sorted(encoder.encoded) == ["Red boots mountains", "Tea", "cup saucer", "緑茶"]


def test_off_is_the_default_of_every_switch(shop: Path) -> None:
    recipe = manifest_with(shop, "").text_recipe
    assert (recipe.strip_punctuation, recipe.stop_words) == (False, ())


def test_an_unknown_stop_word_language_is_named() -> None:
    with pytest.raises(ConfigError, match=r'text\.stop_words is "xx".*give a code such as "en"'):
        text_recipe(TextConfig(stop_words="xx"))


@pytest.mark.parametrize(
    ("toml", "kind"),
    [
        ("", "flat"),
        ("[index]\nexact_up_to = 4\n", "flat"),
        ("[index]\nexact_up_to = 3\n", "hnsw"),
        ("[index]\nexact_up_to = 0\n", "hnsw"),
        ('[index]\nkind = "flat"\nexact_up_to = 0\n', "flat"),
        ('[index]\nkind = "hnsw"\n', "hnsw"),
    ],
)
def test_the_index_is_exact_up_to_a_size(shop: Path, toml: str, kind: str) -> None:
    manifest = manifest_with(shop, toml)
    assert manifest.index.kind == kind
    assert set(manifest.index.params) == (set() if kind == "flat" else {"m", "ef_construction", "ef_search"})
    assert manifest.quality["ann_recall@100"] == 1.0


def test_the_graphs_parameters_come_from_the_config(demo: Path, store: ArtifactStore) -> None:
    params = {"m": 8, "ef_construction": 50, "ef_search": 70}
    append(demo / "recall.toml", '\n[index]\nkind = "hnsw"\n' + "".join(f"hnsw_{k} = {v}\n" for k, v in params.items()))
    report = rebuild(demo)
    assert report.index == {"kind": "hnsw", **params}
    assert store.open().manifest.index.params == params


def test_the_probe_is_the_query_runtimes_vector(shop: Path) -> None:
    def query_runtime(folder: Path, facts: object, threads: int) -> FakeEncoder:
        return FakeEncoder(seed=5)

    build(load_config(shop / "recall.toml"), prepare=prepare_fake(seed=0), load=query_runtime)
    vector, _ = FakeEncoder(seed=5).encode_user(PROBE_TEXT)
    np.testing.assert_allclose(opened(shop).manifest.probe.vector, vector, atol=1e-7)


def test_the_encoders_facts_are_in_the_manifest(shop: Path) -> None:
    assert manifest_with(shop, "").encoder == fake_facts()


def test_files_of_the_artifact_are_not_those_of_the_builders_umask(shop: Path) -> None:
    before = os.umask(0o077)
    try:
        rebuild(shop)
    finally:
        os.umask(before)
    artifact = opened(shop)
    assert all((artifact.folder / name).stat().st_mode & 0o044 == 0o044 for name in artifact.manifest.files)
    assert (artifact.folder / "manifest.json").stat().st_mode & 0o044 == 0o044
    assert (artifact.folder / "encoder").stat().st_mode & 0o055 == 0o055
