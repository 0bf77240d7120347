"""What a build takes over from the live artifact, and what it does not."""

from pathlib import Path
from typing import Any

import numpy as np

from models.artifact_store import ArtifactStore
from tests.fakes import FakeEncoder
from tests.index_builder.shop import change_rows, rebuild, rows_of


def test_a_second_build_encodes_nothing(demo: Path, store: ArtifactStore) -> None:
    before, encoder = store.open(), FakeEncoder()
    report = rebuild(demo, encoder=encoder)
    after = store.open()
    assert (report.n_encoded, report.n_reused, encoder.encoded_items) == (0, 60, [])
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
    assert len(encoder.encoded_items) == 1
    assert " with laces " in encoder.encoded_items[0]
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


def test_builds_in_quick_succession_after_going_back_do_not_collide(demo: Path, store: ArtifactStore) -> None:
    first = store.current_id()
    assert first is not None
    made = [first]
    for _ in range(3):
        made.append(rebuild(demo).artifact_id)
        store.activate(first)
    assert len(set(made)) == 4
    assert store.ids() == made
