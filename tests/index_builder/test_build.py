import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index_builder.build import PROBE_TEXT, build, builder_lock, text_recipe
from index_builder.config import TextConfig, load_config
from index_builder.report import BuildReport
from index_builder.verify import verify_artifact
from models.artifact import Artifact
from models.artifact_store import ArtifactStore
from models.errors import ArtifactError, BuildLockedError, ConfigError, DataError, EncoderError
from models.manifest import Manifest
from tests.fakes import FakeEncoder, fake_facts, load_fake, prepare_fake

ROOT = Path(__file__).parents[2]


def rebuild(folder: Path, *, seed: int = 0, encoder: FakeEncoder | None = None) -> BuildReport:
    return build(load_config(folder / "recall.toml"), prepare=prepare_fake(seed, encoder), load=load_fake)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def change_rows(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = rows_of(path)
    change(rows)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


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


def opened(folder: Path) -> Artifact:
    return ArtifactStore(folder / "artifacts").open()


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


def test_a_second_build_encodes_nothing(demo: Path, store: ArtifactStore) -> None:
    before, encoder = store.open(), FakeEncoder()
    report = rebuild(demo, encoder=encoder)
    after = store.open()
    assert (report.n_encoded, report.n_reused, encoder.encoded) == (0, 60, [])
    assert after.manifest.artifact_id != before.manifest.artifact_id
    assert after.manifest.parent == before.manifest.artifact_id
    np.testing.assert_array_equal(after.embeddings, before.embeddings)


def test_only_a_changed_text_is_encoded_wherever_its_row_went(demo: Path, store: ArtifactStore) -> None:
    before = store.open()

    def change(rows: list[dict[str, Any]]) -> None:
        rows.reverse()
        rows[7]["title"] += " with laces"
        rows[8]["price"] = 1.0  # no part of the text

    change_rows(demo / "items.jsonl", change)
    encoder = FakeEncoder()
    report = rebuild(demo, encoder=encoder)
    after = store.open()
    assert (report.n_encoded, report.n_reused) == (1, 59)
    assert len(encoder.encoded) == 1
    assert " with laces " in encoder.encoded[0]
    changed = after.item_ids[7]
    for item_id, row in after.rows.items():
        same = np.array_equal(after.embeddings[row], before.embeddings[before.rows[item_id]])
        assert same == (item_id != changed)
    assert after.fields.get(8)["price"] == 1.0


def test_a_text_that_only_cleaning_makes_equal_is_not_encoded(demo: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["title"] = f"<b>{rows[0]['title']}</b>&nbsp;"

    change_rows(demo / "items.jsonl", change)
    assert rebuild(demo).n_encoded == 0


def test_removed_items_go_and_new_ones_are_encoded(demo: Path, store: ArtifactStore) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        del rows[:5]
        rows.append({**rows[0], "item_id": "copy"})
        rows.append({**rows[0], "item_id": "new", "title": "Something else"})

    gone = [row["item_id"] for row in rows_of(demo / "items.jsonl")[:5]]
    change_rows(demo / "items.jsonl", change)
    report = rebuild(demo)
    assert (report.n_items, report.n_encoded, report.n_reused) == (57, 1, 56)
    assert not set(gone) & set(store.open().item_ids)
    assert report.interactions is not None
    assert report.interactions.n_unknown_items > 0
    assert any("that the catalogue doesn't have" in warning for warning in report.warnings)


def test_another_encoder_encodes_everything(demo: Path, store: ArtifactStore) -> None:
    report = rebuild(demo, seed=1)
    assert (report.n_encoded, report.n_reused) == (60, 0)
    assert store.open().manifest.encoder.fingerprint == "fake-1"


def test_a_damaged_live_artifact_is_not_reused_and_the_report_says_so(demo: Path, store: ArtifactStore) -> None:
    path = store.folder() / "item_embeddings.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    damaged = store.current_id()
    report = rebuild(demo)
    assert report.n_encoded == 60
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith(f"the live artifact can't be reused: artifact {damaged}: item_embeddings.npy")
    assert store.open().manifest.parent is None
    assert path.read_bytes() == content


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


def test_more_rejects_than_allowed_stop_the_build_and_leave_the_live_one(demo: Path, store: ArtifactStore) -> None:
    live, ids = store.current_id(), store.ids()
    append(demo / "items.jsonl", "{broken\n")  # one of 61 rows is over 1 %
    with pytest.raises(DataError, match="1 of 61 catalogue rows are bad") as caught:
        rebuild(demo)
    assert "catalogue.max_reject_share" in str(caught.value)
    assert (store.current_id(), store.ids()) == (live, ids)
    assert verify_artifact(store.folder(), load=load_fake)
    assert "{broken" in (store.root / "rejects" / "catalogue.jsonl").read_text()


class FailingEncoder(FakeEncoder):
    def encode_items(self, texts, on_done):
        raise EncoderError("out of memory")


def test_a_failing_encoder_leaves_the_live_one_and_no_leftovers(demo: Path, store: ArtifactStore) -> None:
    live, ids = store.current_id(), store.ids()
    with pytest.raises(EncoderError, match="out of memory"):
        rebuild(demo, seed=1, encoder=FailingEncoder())
    assert (store.current_id(), store.ids()) == (live, ids)
    assert not list(store.root.glob(".staging-*"))


def test_an_artifact_that_does_not_verify_is_not_published(demo: Path, store: ArtifactStore) -> None:
    """The query runtime drifts between the probe's vector and the check."""
    live, ids, loads = store.current_id(), store.ids(), iter(range(9))

    def drifting(folder: Path, facts: object, threads: int) -> FakeEncoder:
        return FakeEncoder(seed=next(loads))

    with pytest.raises(ArtifactError, match="probe text has cosine"):
        build(load_config(demo / "recall.toml"), prepare=prepare_fake(), load=drifting)
    assert (store.current_id(), store.ids()) == (live, ids)
    assert not list(store.root.glob(".staging-*"))


def test_two_builders_at_once_exclude_each_other(demo: Path, store: ArtifactStore) -> None:
    started, go_on = threading.Event(), threading.Event()

    class SlowEncoder(FakeEncoder):
        def encode_items(self, texts, on_done):
            started.set()
            assert go_on.wait(60)
            return super().encode_items(texts, on_done)

    first: list[BuildReport] = []
    thread = threading.Thread(target=lambda: first.append(rebuild(demo, seed=1, encoder=SlowEncoder(seed=1))))
    thread.start()
    try:
        assert started.wait(60)
        with pytest.raises(BuildLockedError, match=f"another builder is at work in {store.root}; wait"):
            rebuild(demo)
        assert len(list(store.root.glob(".staging-*"))) == 1  # the second one cleaned nothing of the first
    finally:
        go_on.set()
        thread.join()
    assert store.current_id() == first[0].artifact_id
    with builder_lock(store.root), pytest.raises(BuildLockedError):
        rebuild(demo)
    assert rebuild(demo, seed=1).n_encoded == 0


def test_a_builder_killed_at_any_moment_leaves_a_sound_live_artifact(built_demo: Path, tmp_path: Path) -> None:
    """The next build completes and cleans up."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(built_demo, tmp_path / name, symlinks=True))

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "tests.killed_builder", *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    old = ArtifactStore(built_demo / "artifacts").current_id()
    total = int(run(f"{copy('whole') / 'recall.toml'}:0"))
    moments = [*random.Random(20).sample(range(2, total - 6), 9), *range(total - 6, total + 1)]
    folders = {moment: copy(f"killed-{moment}") for moment in sorted(moments)}
    assert not run(*(f"{folder / 'recall.toml'}:{moment}" for moment, folder in folders.items()))
    left, live = 0, []
    for folder in folders.values():
        store = ArtifactStore(folder / "artifacts")
        left += any(store.root.glob(".staging-*"))
        live.append(store.current_id())
        for artifact_id in store.ids():
            assert verify_artifact(store.folder(artifact_id), load=load_fake)
        report = rebuild(folder, seed=1)
        assert report.n_encoded == (60 if live[-1] == old else 0)
        assert store.current_id() == report.artifact_id
        assert verify_artifact(store.folder(old), load=load_fake)
        assert not list(store.root.glob(".staging-*"))
    assert left > 5
    assert live[0] == old  # they died on both sides of the swap
    assert live[-1] != old


REPORT_KEYS = {
    "artifact_id",
    "artifacts",
    "n_items",
    "n_rows",
    "n_encoded",
    "n_reused",
    "user_texts",
    "index",
    "interactions",
    "quality",
    "rejects",
    "warnings",
    "seconds",
}


def test_the_report_has_the_documented_keys(demo: Path) -> None:
    report = json.loads(rebuild(demo).model_dump_json())
    assert set(report) == REPORT_KEYS
    assert report["index"] == {"kind": "flat"}
    assert set(report["quality"]) == {"ann_recall@100", "validation"}
    assert report["quality"]["ann_recall@100"] == 1.0
    for figures in report["quality"]["validation"].values():
        assert set(figures) == {"cases", "product", "zero_shot", "popularity"}
    assert set(report["interactions"]) == {"n_rows", "n_used", "n_users", "n_below_min_rating", "n_unknown_items"}
    assert set(report["rejects"]) == {"catalogue", "interactions"}
    assert set(report["rejects"]["catalogue"]) == {"rejected", "share", "counts", "examples", "file"}
    assert set(report["seconds"]) == {"read", "encoder", "encode", "learn", "index", "write", "verify", "publish"}
    text = (ROOT / "docs" / "building.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in text for key in REPORT_KEYS)


def test_counts_of_interactions_add_up(demo: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["rating"] = 1
        rows[1]["item_id"] = "unknown"

    change_rows(demo / "interactions.jsonl", change)
    counts = rebuild(demo).interactions
    assert counts is not None
    assert counts.n_rows == 172 == counts.n_used + counts.n_below_min_rating + counts.n_unknown_items
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
    artifact = store.open()
    assert artifact.manifest.index.params == params
    assert (
        artifact.index.search(artifact.item_vectors[5], 1)[1]
        >= artifact.item_vectors[5] @ artifact.item_vectors[5] - 1e-3
    )


def test_the_probe_is_the_query_runtimes_vector(shop: Path) -> None:
    def query_runtime(folder: Path, facts: object, threads: int) -> FakeEncoder:
        return FakeEncoder(seed=5)

    build(load_config(shop / "recall.toml"), prepare=prepare_fake(seed=0), load=query_runtime)
    vector, _ = FakeEncoder(seed=5).encode_user(PROBE_TEXT)
    np.testing.assert_allclose(opened(shop).manifest.probe.vector, vector, atol=1e-7)


def test_builds_in_quick_succession_after_going_back_do_not_collide(demo: Path, store: ArtifactStore) -> None:
    first = store.current_id()
    assert first is not None
    made = [first]
    for _ in range(3):
        made.append(rebuild(demo).artifact_id)
        store.activate(first)
    assert len(set(made)) == 4
    assert store.ids() == made


def test_an_artifacts_folder_that_is_a_file_is_an_error_of_the_file_system(shop: Path) -> None:
    (shop / "artifacts").write_text("")
    with pytest.raises(OSError, match="artifacts"):
        rebuild(shop)


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
