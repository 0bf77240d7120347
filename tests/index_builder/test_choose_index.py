"""Which index a catalogue gets, and on whose vectors it is measured."""

from pathlib import Path

import numpy as np
import pytest

from index_builder import choose_index
from index_builder.build import build
from index_builder.choose_index import ann_queries, index_of
from index_builder.config import IndexConfig, load_config
from index_builder.contents import text_recipe
from index_builder.inputs import read_inputs
from index_builder.learn import Lesson
from index_builder.user_texts import clean_texts, encode_users
from index_builder.verify import measure_ann_recall
from models.artifact_store import ArtifactStore
from models.item_index import build_index
from models.types import Matrix
from tests.artifacts import unit_rows
from tests.fakes import FakeEncoder, load_fake, prepare_fake

N, DIM = 3_000, 160
RANK = 16
CONFIG = IndexConfig(reduced_rank=RANK)


@pytest.fixture(autouse=True)
def _small_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that so few items are many."""
    monkeypatch.setattr(choose_index, "pool_size", lambda k: 2 * k)


def vectors_of(rank: int, n: int = N) -> Matrix:
    return unit_rows(n, rank) @ unit_rows(rank, DIM, seed=1)


QUERIES = unit_rows(30, DIM, seed=2)


def test_where_a_few_axes_say_nearly_all_they_are_scanned() -> None:
    chosen = index_of(vectors_of(RANK), CONFIG, QUERIES)
    assert (chosen.index.kind, chosen.params) == ("reduced", {"rank": RANK})
    assert chosen.ann_recall >= 0.99


def test_where_they_lose_neighbours_all_are_scanned() -> None:
    chosen = index_of(vectors_of(DIM), CONFIG, QUERIES)
    assert (chosen.index.kind, chosen.params, chosen.ann_recall) == ("flat", {}, 1.0)


def test_a_pool_counts_as_much_as_the_first_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        choose_index, "measure_ann_recall", lambda index, queries, *, k=100: 0.995 if k == 100 else 0.98
    )
    assert index_of(vectors_of(RANK), CONFIG, QUERIES).index.kind == "flat"


@pytest.mark.parametrize(
    ("vectors", "config", "kind"),
    [
        (vectors_of(RANK, n=300), CONFIG, "flat"),  # so few that comparing exactly reads as much
        (vectors_of(RANK), IndexConfig(reduced_rank=DIM), "flat"),  # as many axes as dimensions
        (vectors_of(RANK), IndexConfig(exact_up_to=N - 1), "hnsw"),
        (vectors_of(DIM), IndexConfig(kind="reduced", reduced_rank=RANK), "reduced"),
        (vectors_of(RANK), IndexConfig(kind="flat", reduced_rank=RANK), "flat"),
    ],
)
def test_size_and_wish_decide(vectors: Matrix, config: IndexConfig, kind: str) -> None:
    assert index_of(vectors, config, QUERIES).index.kind == kind


def test_what_users_ask_for_is_kept_although_items_hardly_differ_in_it() -> None:
    vectors = vectors_of(RANK)
    vectors[:, 40:48] = 0
    vectors += 0.1 * unit_rows(N, DIM, seed=3)
    faint = 3 * unit_rows(200, 8, seed=4) @ np.eye(8, DIM, k=40, dtype=np.float32)
    config = IndexConfig(kind="reduced", reduced_rank=RANK + 8)
    asked, unasked = index_of(vectors, config, faint), build_index(vectors, "reduced", params={"rank": RANK + 8})
    assert asked.ann_recall > measure_ann_recall(unasked, faint[1::2]) + 0.1


def test_more_axes_than_dimensions_are_all_of_them() -> None:
    chosen = index_of(unit_rows(50, 8), IndexConfig(kind="reduced"), unit_rows(5, 8))
    assert (chosen.index.kind, chosen.params) == ("reduced", {"rank": 8})


def test_a_learnt_index_is_measured_on_users_by_history_and_by_text(demo: Path, store: ArtifactStore) -> None:
    config = load_config(demo / "recall.toml")
    build(config, prepare=prepare_fake(), load=load_fake)
    artifact, recipe = store.open(), text_recipe(config.text)
    inputs = read_inputs(config, recipe, rejects=demo / "rejects", live_since=0)
    assert artifact.learnt is not None
    assert inputs.interactions is not None
    texts = list(clean_texts(inputs.interactions, recipe).values())
    known, _ = encode_users(texts, FakeEncoder(), artifact.embeddings.shape[1], parent=None)
    queries = ann_queries(inputs, Lesson(artifact.learnt, user_texts=known), recipe, artifact.item_vectors)
    n_users, n_texts = len(inputs.interactions.user_ids), len(set(texts))
    assert queries.shape == (min(n_users, 200) + min(n_texts, 200), artifact.item_vectors.shape[1])
    assert len(np.unique(queries.round(6), axis=0)) > 0.5 * len(queries)  # not one user again and again


def test_where_nothing_is_known_of_users_items_ask(demo: Path) -> None:
    config = load_config(demo / "recall.toml")
    recipe = text_recipe(config.text)
    inputs = read_inputs(config, recipe, rejects=demo / "rejects", live_since=0)
    vectors = unit_rows(5, 4)
    assert ann_queries(inputs, Lesson(None), recipe, vectors) is vectors
