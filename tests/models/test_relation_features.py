"""The relation head's features: worked by hand, and the head that scores them in the recaller."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.artifact import open_artifact
from models.artifact_store import ArtifactStore
from models.errors import ArtifactCorruptError
from models.fused import SITUATIONS, Asked, KnownUser, Parts, Situation, Tokens
from models.neighbours import Neighbours
from models.overlay import LiveItem, lay_over
from models.recaller import Recaller, UserQuery
from models.relation_features import FEATURES, N_FEATURES, relation_features
from models.relation_head import HIDDEN, FeatureHead, load_head, save_head
from models.types import Matrix, Vector
from models.user_text_neighbours import Alike, UserTextNeighbours
from tests import fakes
from tests.artifacts import contents_of, memory_artifact, publish, unit_rows
from tests.models.test_fused import DIM, EQUAL, N_ITEMS, TEXT_DIM, TOWER, learnt, random


def of(*values: float) -> Matrix:
    return np.array([values], np.float32)


NEIGHBOURS = Neighbours(
    rows=np.array([[2]] * 9, np.int32), cosines=np.array([[0.1]] * 2 + [[0.9]] + [[0.2]] * 5 + [[0.5]], np.float32)
)

# The second of three users consumed the item that is asked about, the third another.
WRITTEN = UserTextNeighbours(of(1.0, 1.0, 1.0).T, np.array([0, 1, 3, 4]), np.array([2, 2, 1, 0], np.int32))


def asked(*, texts: bool = True, history: bool = True) -> Asked:
    """One dimension a part; two items, the newer one three times as strong; one text."""
    n_texts, n_items = int(texts), 2 * int(history)
    tokens = Tokens(
        texts=(of(5.0).T[:n_texts], of(7.0).T[:n_texts]),
        items=tuple(np.array([[1.0], [3.0]], np.float32)[:n_items] for _ in range(3)),  # type: ignore[arg-type]
        rows=np.array([7, 8])[:n_items],
        weights=np.ones(n_items, np.float32),
        n_words=3 * n_texts,
    )
    parts = Parts(of(2.0), of(4.0), of(8.0), of(1.0))
    alike = Alike(np.array([1, 2]), np.array([[0.75, 0.25], [0.875, 0.125]], np.float32), WRITTEN)
    return Asked(
        "history" if history else "query",
        np.ones(4, np.float32),
        parts,
        tokens,
        NEIGHBOURS,
        alike if texts else WRITTEN.nearest(of(0.0)),
    )


ITEM = np.array([[0.5, -0.1, 0.25, 9.0]] * 3, np.float32)
ROW = np.array([2])


NO_ROWS, NO_WEIGHTS = np.empty(0, np.int64), np.empty(0, np.float32)


def feature(values: Matrix, name: str) -> float:
    return float(values[0, FEATURES.index(name)])


def test_every_feature_worked_by_hand() -> None:
    found = relation_features(asked(), ITEM, rows=ROW, scores=np.array([6.0], np.float32))
    expected = {
        "recall score": 6,
        "zero-shot": 1,
        "behaviour": -np.log1p(0.4),
        "tower": 2,
        "popularity": 9,
        "history: meaning, nearest": 1.5,
        "history: meaning, newest": 1.5,
        "history: meaning, faded": (0.8 * 0.5 + 1.5) / 1.8,
        "history: behaviour, nearest": -np.log1p(50 * 0.1),
        "history: behaviour, newest": -np.log1p(50 * 0.3),
        "history: tower, nearest": 0.75,
        "history: tower, newest": 0.75,
        "history: consumed together, nearest": 0.5,
        "history: consumed together, newest": 0.5,
        "history: consumed together, faded": np.log1p(5 * (0.8 * 0.2 + 0.5)),
        "texts: meaning, nearest": 2.5,
        "texts: tower, nearest": 1.75,
        "first of the pool: consumed together, nearest": 9,
        "first of the pool: consumed together, mean": 0.9,
        "length of the history": np.log1p(2),
        "words of the texts": np.log1p(3),
        "users who wrote alike: share of the hundred nearest": np.log1p(1000 * 0.75),
        "users who wrote alike: share of the fifty nearest": np.log1p(1000 * 0.875),
    }
    assert set(expected) == set(FEATURES)
    for name, value in expected.items():
        assert feature(found, name) == pytest.approx(value, rel=1e-5), name


def test_what_isnt_known_is_zero() -> None:
    without_texts = relation_features(asked(texts=False), ITEM, rows=ROW, scores=of(6.0)[0])
    without_history = relation_features(asked(history=False), ITEM, rows=ROW, scores=of(6.0)[0])
    for found, known in ((without_texts, "texts: "), (without_texts, "users who"), (without_history, "history: ")):
        assert not any(feature(found, name) for name in FEATURES if name.startswith(known))
    assert feature(without_texts, "words of the texts") == 0
    assert feature(without_history, "length of the history") == 0


def head(**linear: float) -> FeatureHead:
    """A head that sums some features, by name with blanks as underscores."""
    weights = np.zeros(N_FEATURES, np.float32)
    for name, weight in linear.items():
        weights[FEATURES.index(name.replace("_", " "))] = weight
    return FeatureHead(
        {
            "mean": np.zeros(N_FEATURES, np.float32),
            "deviation": np.ones(N_FEATURES, np.float32),
            "linear": weights,
            "inner.weight": np.zeros((HIDDEN, N_FEATURES), np.float32),
            "inner.bias": np.zeros(HIDDEN, np.float32),
            "middle.weight": np.zeros((HIDDEN, HIDDEN), np.float32),
            "middle.bias": np.zeros(HIDDEN, np.float32),
            "outer.weight": np.zeros(HIDDEN, np.float32),
        }
    )


def recaller(with_head: FeatureHead) -> tuple[Recaller, Vector]:
    model = learnt(EQUAL)
    artifact = memory_artifact(model.item_vectors)
    return Recaller(replace(artifact, head=with_head, learnt=model)), model.item_vectors[:, -1]


QUERY = UserQuery(
    np.abs(random(20, 1, TEXT_DIM + TOWER + 1)), np.array([3, 4]), np.ones(2, np.float32), np.empty(0, np.int64), k=5
)


def test_the_head_orders_the_candidates() -> None:
    """A head of popularity alone puts the most popular of the pool first; one of the recall score changes nothing."""
    by_popularity, popularity = recaller(head(popularity=1))
    recalled = by_popularity.recall(QUERY)
    assert recalled.rows.tolist() == np.argsort(-popularity)[:5].tolist()
    assert recalled.relation_scores is not None
    np.testing.assert_allclose(recalled.relation_scores, np.sort(popularity)[::-1][:5], rtol=1e-6)
    same, _ = recaller(head(recall_score=2))
    assert same.recall(QUERY).rows.tolist() == same.recall(QUERY, rescore=False).rows.tolist()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_where_the_head_sits_out_the_pool_keeps_its_order(situation: Situation) -> None:
    """The query is of a user with a history."""
    by_popularity = replace(head(popularity=1), situations=(situation,))
    recalled = recaller(by_popularity)[0].recall(QUERY)
    plain = recaller(by_popularity)[0].recall(QUERY, rescore=False)
    assert (recalled.relation_scores is not None) is (situation == "history")
    assert (recalled.rows.tolist() == plain.rows.tolist()) is (situation != "history")


@pytest.mark.parametrize("situations", [("history",), ("text", "query"), SITUATIONS])
def test_an_artifact_remembers_where_its_head_acts(tmp_path: Path, situations: tuple[Situation, ...]) -> None:
    """Everywhere goes without saying, as in artifacts of before heads could sit out."""
    contents = replace(
        contents_of(unit_rows(6, fakes.DIM)), head=replace(head(), situations=situations), head_trained=True
    )
    opened = open_artifact(tmp_path / publish(ArtifactStore(tmp_path), contents))
    assert (b'"situations"' in opened.manifest.to_bytes()) is (situations != SITUATIONS)
    assert isinstance(opened.head, FeatureHead)
    assert opened.head.situations == situations


def test_the_network_bends() -> None:
    """relu(popularity - 1), twice: what is below 1 is all alike."""
    network = head()
    network.tensors["inner.weight"][0, FEATURES.index("popularity")] = 1
    network.tensors["inner.bias"][0] = -1
    network.tensors["middle.weight"][0, 0] = 1
    network.tensors["outer.weight"][0] = 3
    features = np.zeros((3, N_FEATURES), np.float32)
    features[:, FEATURES.index("popularity")] = [-5, 1, 2]
    np.testing.assert_allclose(network.score(features), [0, 0, 3])


def test_a_head_of_before_the_last_features_knows_the_first(tmp_path: Path) -> None:
    older = head(popularity=1)
    for name in ("mean", "deviation", "linear", "inner.weight"):
        older.tensors[name] = older.tensors[name][..., :-2].copy()
    save_head(older, tmp_path / "head.safetensors")
    read = load_head(tmp_path / "head.safetensors", kind="features", dim=1, n_items=1)
    features = random(30, 4, N_FEATURES)
    assert isinstance(read, FeatureHead)
    np.testing.assert_array_equal(read.score(features), head(popularity=1).score(features))


def test_a_head_of_more_features_than_there_are_is_refused(tmp_path: Path) -> None:
    newer = head()
    for name in ("mean", "deviation", "linear"):
        newer.tensors[name] = np.zeros(N_FEATURES + 1, np.float32)
    save_head(newer, tmp_path / "head.safetensors")
    with pytest.raises(ArtifactCorruptError, match="mean"):
        load_head(tmp_path / "head.safetensors", kind="features", dim=1, n_items=1)


def test_a_text_alone_is_as_near_as_beside_others() -> None:
    """There the user's part says it already; a text that says nothing changes no nearest."""
    model = learnt(EQUAL)
    one = model.matching.ask(KnownUser(QUERY.texts, NO_ROWS, NO_WEIGHTS))
    assert one is not None
    rows, scores = np.arange(5), np.zeros(5, np.float32)
    found = relation_features(one, model.item_vectors, rows=rows, scores=scores)
    nearest = (one.tokens.texts[0] @ model.item_vectors[:5, : one.parts.zero_shot.shape[1]].T)[0]
    np.testing.assert_allclose(found[:, FEATURES.index("texts: meaning, nearest")], nearest, rtol=1e-4)


@pytest.mark.parametrize("n_live", [0, 2])
@pytest.mark.parametrize("history", [[3, 4], [3, N_ITEMS - 1]])
def test_with_live_items_laid_over_the_head_goes_on(n_live: int, history: list[int]) -> None:
    """A deletion alone, or new items in pool and history: who is not concerned scores as before."""
    model = learnt(EQUAL)
    plain = memory_artifact(model.item_vectors)
    plain = replace(plain, head=head(popularity=1, tower=1), learnt=model, embeddings=random(40, N_ITEMS, DIM))
    live = [LiveItem(f"new{n}", "a b", {}, random(41 + n, DIM), None) for n in range(n_live)]
    _, over = lay_over(plain, Recaller(plain), live, changed={}, deleted=[0])
    asked_for = replace(QUERY, history=np.array(history), k=N_ITEMS + n_live)
    before, after = Recaller(plain).recall(asked_for), over.recall(asked_for)
    assert set(after.rows) == set(range(1, N_ITEMS + n_live))
    known = dict(zip(before.rows.tolist(), before.scores.tolist(), strict=True))
    for row, score in zip(after.rows.tolist(), after.scores.tolist(), strict=True):
        assert row >= N_ITEMS or score == pytest.approx(known[row], rel=1e-4, abs=1e-4)


def test_a_live_item_in_the_history_counts() -> None:
    model = learnt(EQUAL)
    plain = memory_artifact(model.item_vectors)
    plain = replace(plain, head=head(recall_score=1), learnt=model, embeddings=random(40, N_ITEMS, DIM))
    live = [LiveItem("new", "a b", {}, random(41, DIM), None)]
    _, over = lay_over(plain, Recaller(plain), live, changed={}, deleted=[])
    assert len(over.recall(replace(QUERY, history=np.array([3, N_ITEMS]))).rows) == 5
