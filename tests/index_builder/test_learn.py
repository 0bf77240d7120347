"""What a build learns from interactions, and what it does where there is too little of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from index_builder import user_texts
from index_builder.build import build
from index_builder.config import load_config
from index_builder.learn import _texts_to_learn_from, first_words, some_words
from index_builder.report import BuildReport
from models.artifact_store import ArtifactStore
from models.fused import SITUATIONS, FusedFacts
from models.matching import DecayedMean
from models.recaller import Recaller, UserQuery
from models.text import TextRecipe
from models.training.interactions import Interactions
from tests.fakes import load_fake, prepare_fake
from tests.quick_fits import fit_thoroughly


@pytest.fixture
def demo(demo: Path) -> Path:
    """The small demo, built with learning switched on."""
    with (demo / "recall.toml").open("a") as config:
        config.write("\n[learning]\nenabled = true\n")
    rebuild(demo)
    return demo


def rebuild(demo: Path, seed: int = 0) -> BuildReport:
    return build(load_config(demo / "recall.toml"), prepare=prepare_fake(seed), load=load_fake)


def test_the_manifest_says_what_was_learnt_and_what_it_gained(store: ArtifactStore) -> None:
    manifest = store.open().manifest
    assert isinstance(manifest.matching, FusedFacts)
    validation = manifest.quality["validation"]
    assert isinstance(validation, dict)
    history = validation["history"]
    assert set(history) == {"cases", "product", "zero_shot", "popularity"}  # type: ignore[arg-type]
    assert history["product"]["recall@10"] > history["popularity"]["recall@10"]  # type: ignore[index]


def test_popularity_is_shifted_before_anything_is_measured(
    demo: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = store.open().manifest
    with (demo / "recall.toml").open("a") as config:
        config.write("popularity = -2.0\n")
    rebuild(demo)
    shifted = store.open().manifest
    assert isinstance(live.matching, FusedFacts)
    assert isinstance(shifted.matching, FusedFacts)
    for situation in SITUATIONS:
        before, after = (getattr(one.matching.weights, situation) for one in (live, shifted))
        assert after.popularity == pytest.approx(before.popularity - 2, abs=1e-6)
    measured = [one.quality["validation"] for one in (live, shifted)]
    by_history = [found["history"] for found in measured if isinstance(found, dict)]
    assert len(by_history) == 2
    assert by_history[0] != by_history[1]


@pytest.mark.parametrize(("value", "warned"), [(0.5, False), ("lately", True)], ids=["numbers", "words"])
def test_the_age_of_items_comes_from_a_column_of_the_catalogue(
    demo: Path, store: ArtifactStore, value: float | str, *, warned: bool
) -> None:
    rows = [json.loads(line) for line in (demo / "items.jsonl").read_text().splitlines()]
    first = min(json.loads(line)["timestamp"] for line in (demo / "interactions.jsonl").read_text().splitlines())
    added = [first + number * value if isinstance(value, float) else value for number in range(len(rows))]
    lines = [json.dumps(row | {"added": time}) for row, time in zip(rows, added, strict=True)]
    (demo / "items.jsonl").write_text("\n".join(lines))
    toml = (demo / "recall.toml").read_text()
    (demo / "recall.toml").write_text(toml.replace("[catalogue]", '[catalogue]\ntime = "added"'))

    report = rebuild(demo)

    artifact = store.open()
    validation = artifact.manifest.quality["validation"]
    assert isinstance(validation, dict)
    assert ("freshness" in validation) != warned
    assert any(line.startswith("the age of items counts ") for line in report.lines()) != warned
    assert "trend" in validation
    assert any(line.startswith("popularity is that of all time") for line in report.lines())
    assert any("nothing is learnt from the age" in warning for warning in report.warnings) == warned
    assert artifact.manifest.item_fields[-1] == "added"
    assert artifact.fields.get(1)["added"] == added[1]


def test_user_texts_are_encoded_once(demo: Path) -> None:
    """The live artifact has them all; a new one costs one, another encoder costs all."""
    first = rebuild(demo).user_texts
    assert first["n_encoded"] == 0
    assert first["n_reused"] > 100
    with (demo / "interactions.jsonl").open("a") as rows:
        row = {"user_id": "new", "item_id": "hike-map", "timestamp": 1, "rating": 5, "text": "lost again"}
        rows.write(json.dumps(row) + "\n")
    assert rebuild(demo).user_texts == {"n_encoded": 1, "n_reused": first["n_reused"]}
    assert rebuild(demo, seed=1).user_texts == {"n_encoded": first["n_reused"] + 1, "n_reused": 0}


def test_where_not_all_texts_are_read_those_before_validation_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest of all are the ones that the cases mustn't see."""
    monkeypatch.setattr(user_texts.texts_read, "__kwdefaults__", {"most_words": 2})
    times = np.tile(np.arange(3.0), 2)
    texts = ("oldest a", "old a", "new a", "oldest b", "old b", "new b")
    interactions = Interactions(np.repeat([0, 1], 3), ("a", "b"), np.arange(6), times=times, texts=texts)
    assert list(_texts_to_learn_from(interactions, TextRecipe(), all_are_read=False)) == ["new a", "old a"]


def test_building_twice_learns_the_same(demo: Path, store: ArtifactStore) -> None:
    before = store.open()
    rebuild(demo)
    after = store.open()
    assert before.manifest.artifact_id != after.manifest.artifact_id
    assert before.manifest.matching == after.manifest.matching
    np.testing.assert_array_equal(before.item_vectors, after.item_vectors)


def test_too_few_interactions_leave_a_zero_shot_artifact_and_a_warning(demo: Path, store: ArtifactStore) -> None:
    row = {"user_id": "only", "item_id": "hike-map", "timestamp": 1, "rating": 5, "text": None}
    (demo / "interactions.jsonl").write_text(json.dumps(row) + "\n")
    report = rebuild(demo)
    assert any("nothing is learnt" in warning for warning in report.warnings)
    assert store.open().manifest.matching == DecayedMean()


def test_a_history_of_one_theme_recalls_that_theme(
    demo: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right answers are known by construction: most users keep to one theme. Two epochs don't always see it."""
    fit_thoroughly(monkeypatch)
    rebuild(demo)
    artifact = store.open()
    nothing = np.empty((0, artifact.manifest.encoder.dim), np.float32)
    found = {}
    for theme in ("hike", "coffee", "garden"):
        own = [row for item_id, row in artifact.rows.items() if item_id.startswith(f"{theme}-")]
        history = np.array(own[:3], np.int64)
        query = UserQuery(artifact.text_vectors(nothing, []), history, np.ones(3, np.float32), history, k=5)
        found[theme] = len(set(Recaller(artifact).recall(query).rows.tolist()) & set(own))
    # By chance it would be .9 of the five.
    assert min(found.values()) >= 3, found


def test_some_words_are_of_one_text_and_not_its_first() -> None:
    texts = [" ".join(f"w{row}-{place}" for place in range(n)) for row, n in enumerate((5, 14, 40, 200))]
    found = some_words(texts)
    assert set(found.values()) == {2, 3}
    for words, row in found.items():
        assert words in texts[row]
        assert 4 <= len(words.split()) <= 12
        assert not set(words.split()) & set(first_words(texts)[row].split())
    assert some_words(texts) == found
