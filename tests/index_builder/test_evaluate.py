"""The evaluation from tables to figures: it learns on the past alone, serves it, and publishes nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index_builder import evaluate as module
from index_builder.config import BuildConfig, load_config
from index_builder.evaluate import EXACT, NO_HEAD, PRODUCT, evaluate
from models.artifact import ENCODER
from models.artifact_store import ArtifactStore
from models.encoder_openvino import GRAPH, GRAPH_RUNTIMES
from models.errors import ConfigError, DataError
from models.training.evaluation import Evaluation
from tests.fakes import FakeEncoder, load_fake, prepare_fake
from tests.index_builder.world_tables import write
from tests.models.training.worlds import World

EVERYBODY = {
    PRODUCT, NO_HEAD, EXACT, "popularity", "popularity, recent", "BM25", "item-kNN", "user-kNN", "user-text kNN",
    "EASE", "iALS", "zero-shot", "plain L3AE",
}  # fmt: skip


def evaluated(config: BuildConfig) -> Evaluation:
    return evaluate(config, prepare=prepare_fake(), load=load_fake)


def recall(evaluation: Evaluation, name: str) -> float:
    (found,) = (ranker for ranker in evaluation.rankers if ranker.name == name)
    return found.tasks["history"].figures["recall@10"]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluated(write(World(), tmp_path_factory.mktemp("world")))


def test_everybody_stands_in_the_table(evaluation: Evaluation) -> None:
    assert {ranker.name for ranker in evaluation.rankers} == EVERYBODY
    assert evaluation.rankers[0].name == PRODUCT
    by_text = {ranker.name for ranker in evaluation.rankers if "text" in ranker.tasks}
    assert by_text == EVERYBODY - {"item-kNN", "user-kNN", "EASE", "iALS", "plain L3AE"}
    assert all("history" in ranker.tasks for ranker in evaluation.rankers)


def test_the_product_is_compared_where_it_matters(evaluation: Evaluation) -> None:
    compared = [(found.task, found.theirs, found.figure) for found in evaluation.comparisons]
    (best,) = (theirs for task, theirs, _ in compared if task == "text" and theirs != NO_HEAD)
    assert best in EVERYBODY - {PRODUCT, NO_HEAD, EXACT}
    assert ("history", "plain L3AE", "recall@50") in compared
    assert {("history", NO_HEAD, "recall@10"), ("text", NO_HEAD, "recall@50")} <= set(compared)
    for found in evaluation.comparisons:
        assert found.ours == PRODUCT
        assert found.low <= found.difference <= found.high
        assert found.difference == pytest.approx(found.ours_value - found.theirs_value)


def test_the_pool_of_the_head_is_told(evaluation: Evaluation) -> None:
    """The whole catalogue of 80 is less than the pool for 100."""
    assert {task: (pool.k, pool.size, pool.recall) for task, pool in evaluation.pools.items()} == {
        "history": (100, 80, 1),
        "text": (100, 80, 1),
    }


def test_the_cost_is_told(evaluation: Evaluation) -> None:
    assert evaluation.cost is not None
    assert evaluation.cost.training_seconds > 0
    assert evaluation.cost.peak_memory_bytes > 50_000_000
    assert evaluation.cost.artifact_bytes > 80 * 64 * 4


def test_the_fit_is_shown_epoch_by_epoch(evaluation: Evaluation) -> None:
    loss, recall = evaluation.losses
    assert loss.values[0] > loss.values[-1]
    assert len(loss.values) == len(recall.values) > 1
    assert all(0 <= value <= 1 for value in recall.values)


def test_the_product_finds_the_themes(evaluation: Evaluation) -> None:
    assert recall(evaluation, PRODUCT) > 2 * recall(evaluation, "popularity")


def test_a_flat_index_finds_what_exact_search_does(evaluation: Evaluation) -> None:
    assert recall(evaluation, NO_HEAD) == recall(evaluation, EXACT)


def test_with_shuffled_targets_the_product_falls_to_popularity(tmp_path: Path) -> None:
    """A leak anywhere between the tables and the answers would show here."""
    evaluation = evaluated(write(World(n_users=300, shuffled=True), tmp_path))
    assert recall(evaluation, PRODUCT) < recall(evaluation, "popularity") + 0.07


def test_learning_and_the_artifact_see_the_past_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    learn, contents_of = module.learn, module.contents_of

    def spy_learn(inputs, *rest, **options):
        seen.append(inputs.interactions)
        return learn(inputs, *rest, **options)

    def spy_contents(config, inputs, *rest, **options):
        seen.append(inputs.interactions)
        return contents_of(config, inputs, *rest, **options)

    monkeypatch.setattr(module, "learn", spy_learn)
    monkeypatch.setattr(module, "contents_of", spy_contents)
    cut = evaluated(write(World(), tmp_path)).data.cut
    assert cut is not None
    assert len(seen) == 2
    assert all(past.times.max() < cut for past in seen)


@pytest.mark.parametrize("holdout", ["last", "users"])
def test_other_holdouts(tmp_path: Path, holdout: str) -> None:
    evaluation = evaluated(write(World(clock=False, ordered=holdout == "last"), tmp_path))
    assert evaluation.data.holdout == holdout
    assert {ranker.name for ranker in evaluation.rankers} == EVERYBODY - {"popularity, recent"}
    assert recall(evaluation, PRODUCT) > recall(evaluation, "popularity")


def test_an_hnsw_index_is_searched_as_the_service_does(tmp_path: Path) -> None:
    evaluation = evaluated(write(World(), tmp_path, '[index]\nkind = "hnsw"\n'))
    assert recall(evaluation, NO_HEAD) == pytest.approx(recall(evaluation, EXACT), abs=0.05)


def test_nothing_is_published_and_nothing_is_left(demo: Path, store: ArtifactStore) -> None:
    before, live = store.ids(), store.current_id()
    evaluated(load_config(demo / "recall.toml"))
    assert (store.ids(), store.current_id()) == (before, live)
    assert not list(store.root.glob(".staging-*"))


def test_embeddings_of_the_live_artifact_are_reused(demo: Path) -> None:
    encoder = FakeEncoder()
    evaluate(load_config(demo / "recall.toml"), prepare=prepare_fake(0, encoder), load=load_fake)
    assert encoder.encoded_items == []
    evaluate(load_config(demo / "recall.toml"), prepare=prepare_fake(1, encoder), load=load_fake)
    assert len(encoder.encoded_items) == 60


def test_that_a_build_would_not_learn_is_said(demo: Path) -> None:
    config = load_config(demo / "recall.toml")
    learning = config.learning.model_copy(update={"enabled": False})
    off = config.model_copy(update={"learning": learning})
    assert any("learning.enabled is false" in warning for warning in evaluated(off).warnings)
    on = config.model_copy(update={"learning": learning.model_copy(update={"enabled": True})})
    assert not any("learning.enabled" in warning for warning in evaluated(on).warnings)


def test_without_interactions_there_is_nothing_to_evaluate_on(tmp_path: Path) -> None:
    config = write(World(n_users=20), tmp_path)
    with pytest.raises(ConfigError, match=r"no \[interactions\]"):
        evaluated(config.model_copy(update={"interactions": None}))


def test_too_few_interactions_are_said_to_be_too_few(tmp_path: Path) -> None:
    world = World(n_users=20, clock=False)
    known = world.interactions
    first = np.flatnonzero(known.times == 0)
    world.interactions = replace(
        known,
        users=known.users[first],
        items=known.items[first],
        times=known.times[first] if known.times is not None else None,
        texts=tuple(known.texts[row] for row in first) if known.texts else None,
    )
    with pytest.raises(DataError, match="leave nothing to judge by"):
        evaluated(write(world, tmp_path))


def test_the_artifact_has_one_size_whatever_a_build_added_to_its_encoder(demo: Path) -> None:
    config = load_config(demo / "recall.toml")
    plain = prepare_fake()

    def linking(asked, recipe, folder, **rest):
        prepared = plain(asked, recipe, folder, **rest)
        for runtime in GRAPH_RUNTIMES.values():
            for file in (folder / ENCODER / runtime.graph, (folder / ENCODER / runtime.graph).with_suffix(".bin")):
                file.write_bytes(bytes(1_000 if runtime.graph == GRAPH else 7_000))
        return prepared

    sizes = [
        found.artifact_bytes
        for prepare in (plain, linking)
        if (found := evaluate(config, prepare=prepare, load=load_fake).cost)
    ]
    assert sizes[1] == sizes[0] + 2_000  # of the encoder's own graph, which an export makes


def test_what_was_left_out_and_how_few_were_asked_is_said(tmp_path: Path) -> None:
    write(World(n_users=60), tmp_path)
    with (tmp_path / "interactions.jsonl").open("a") as table:
        table.write('{"user_id": "", "item_id": "i1", "text": "", "time": 1}\n')
        table.write('{"user_id": "u1", "item_id": "nowhere", "text": "", "time": 1}\n')
    warnings = evaluated(load_config(tmp_path / "recall.toml")).warnings
    (rejected,) = (warning for warning in warnings if warning.startswith("rejected 1 interactions rows {'no_id': 1}"))
    assert f"interactions.jsonl line {60 * 7 + 1}: user_id is" in rejected
    assert "420 of 422 interactions by 60 users used (1 name unknown items, 0 are rated too low)" in warnings
    assert any("are asked: intervals over so few say little" in warning for warning in warnings)


def test_nothing_is_said_where_nothing_was_left_out(evaluation: Evaluation) -> None:
    assert not [warning for warning in evaluation.warnings if "rejected" in warning or "used (" in warning]
