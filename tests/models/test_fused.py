"""The learnt matching in the service: parts scaled as stated, and nothing known is None."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models.errors import ArtifactCorruptError, ArtifactMismatchError
from models.fused import (
    FEW_WORDS,
    FusedMatching,
    KnownUser,
    Parts,
    PartWeights,
    SituationWeights,
    UserSide,
    covariance,
    scale,
)
from models.item_side import ItemSide
from models.learnt import MATCHING, TEXT_NEIGHBOUR_FILES, Learnt, load_learnt, write_learnt
from models.lexical import Lexicon
from models.neighbours import Neighbours
from models.tower import Tower, TowerFacts, tensor_shapes
from models.types import Matrix, Vector
from models.user_text_neighbours import UserTextNeighbours

N_ITEMS, DIM, LEXICAL, TOWER = 30, 6, 3, 4
TEXT_DIM = DIM + LEXICAL
NO_HISTORY = np.empty(0, np.int64)
EQUAL = PartWeights()


def random(seed: int, *shape: int) -> Matrix:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def some_tower(decay: float = 0.5, members: int = 1) -> Tower:
    """A tower whose every tensor is random; its members share the width."""
    facts = TowerFacts(dim=TOWER // members, heads=2, decay=decay, members=members)
    shapes = tensor_shapes(facts, TEXT_DIM)
    return Tower(facts, {name: random(seed, *shape) for seed, (name, shape) in enumerate(shapes.items(), 100)})


def learnt(weights: PartWeights = EQUAL, members: int = 1, n_items: int = N_ITEMS) -> Learnt:
    tower = some_tower(members=members)
    parts = Parts(random(3, n_items, 4), random(4, n_items, 5), random(5, n_items, TOWER), random(6, n_items, 1))
    side = UserSide(
        decay=0.5,
        projection=random(7, TEXT_DIM, 4),
        history_factors=random(8, n_items, 5),
        tower=tower,
        zero_shot_items=parts.zero_shot,
        tower_items=parts.tower,
        neighbours=Neighbours(np.array([[1, -1]] * n_items, np.int32), random(14, n_items, 2)),
        text_neighbours=UserTextNeighbours(random(15, 2, 3), np.array([0, 1, 3]), np.array([0, 1, 2], np.int32)),
    )
    covariances = tuple(covariance(part) for part in (parts.zero_shot, parts.behaviour, parts.tower, parts.popularity))
    matching = FusedMatching(side, SituationWeights(history=weights, text=weights), covariances)  # type: ignore[arg-type]
    item_side = ItemSide(side.projection, random(9, TEXT_DIM, 5), random(10, TEXT_DIM, 5), tower)
    lexicon = Lexicon({"a": 0, "b": 1}, np.ones(2, np.float32), random(11, 2, LEXICAL), random(13, 2, TOWER))
    return Learnt(matching, item_side, parts.joined(), lexicon)


def user(n_texts: int, history: list[int], weights: list[float] | None = None) -> KnownUser:
    texts = random(12, n_texts, TEXT_DIM + TOWER + 1)
    texts[:, -1] = FEW_WORDS
    return KnownUser(texts, np.array(history, np.int64), np.array(weights or [1.0] * len(history), np.float32))


def vector_of(model: Learnt, known: KnownUser) -> Vector:
    asked = model.matching.ask(known)
    assert asked is not None
    return asked.vector


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("known", [user(1, []), user(2, [3]), user(0, [3, 4])])
def test_each_part_has_the_deviation_of_its_weight(known: KnownUser, members: int) -> None:
    """Over the catalogue, the inner products of a part deviate by exactly its weight."""
    weights = PartWeights(zero_shot=0.5, behaviour=2, tower=0.25, popularity=0.1)
    model = learnt(weights, members)
    vector = vector_of(model, known)
    bounds = np.cumsum([0, 4, 5, TOWER, 1])
    expected = [0.5, 2 if len(known.history) else 0, 0.25, 0.1]
    for start, end, deviation in zip(bounds[:-1], bounds[1:], expected, strict=True):
        scores = model.item_vectors[:, start:end] @ vector[start:end]
        assert scores.std(ddof=1) == pytest.approx(deviation, rel=1e-3)


def test_a_history_part_worked_by_hand() -> None:
    """Decay .5 and weights: the behaviour part points along .5·2·a₃ + 1·a₄."""
    model = learnt()
    factors = model.matching.side.history_factors
    vector = vector_of(model, user(0, [3, 4], [2.0, 1.0]))
    expected = 0.5 * 2 * factors[3] + factors[4]
    found = vector[4:9]
    np.testing.assert_allclose(found / np.linalg.norm(found), expected / np.linalg.norm(expected), atol=1e-5)


def test_the_situation_decides_the_weights() -> None:
    """A history counts as one whatever is said; a text of few words, and nothing else, is a query."""
    alone = {
        name: PartWeights(
            zero_shot=float(name == "history"),
            behaviour=0,
            tower=float(name == "text"),
            popularity=float(name == "query"),
        )
        for name in SituationWeights.model_fields
    }
    model = learnt()
    matching = replace(model.matching, weights=SituationWeights(**alone))
    few, many = user(1, []), user(1, [])
    few.texts[0, -1] = FEW_WORDS - 1
    part_of = {"history": slice(0, 4), "text": slice(9, 9 + TOWER), "query": slice(9 + TOWER, None)}
    for known, situation in ((few, "query"), (many, "text"), (user(1, [3]), "history")):
        asked = matching.ask(known)
        assert asked is not None
        assert asked.vector[part_of[situation]].any()
        assert np.count_nonzero(asked.vector) == np.count_nonzero(asked.vector[part_of[situation]])


@pytest.mark.parametrize("known", [user(0, []), user(0, [1, 2], [0.0, 0.0])])
def test_nothing_known_is_none(known: KnownUser) -> None:
    assert learnt().matching.ask(known) is None


def test_scale_leaves_zeros_alone() -> None:
    assert scale(np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32)).tolist() == [[0, 0]]


@pytest.mark.parametrize("members", [1, 2])
def test_written_and_read_it_serves_the_same(tmp_path: Path, members: int) -> None:
    model = learnt(members=members)
    write_learnt(tmp_path, model)
    again = load_learnt(tmp_path, model.matching.facts, n_items=N_ITEMS, dim=DIM)
    known = user(2, [5, 6])
    # Served weights may be float16.
    np.testing.assert_allclose(vector_of(again, known), vector_of(model, known), atol=1e-3)
    np.testing.assert_array_equal(again.item_vectors, model.item_vectors)
    # Compiled, it sums in another order.
    np.testing.assert_allclose(again.lexicon.vectors(["b a"]), model.lexicon.vectors(["b a"]), rtol=1e-6)


def test_what_new_items_are_worth_is_kept_and_nothing_in_artifacts_of_before(tmp_path: Path) -> None:
    model = learnt()
    write_learnt(tmp_path, replace(model, item_side=replace(model.item_side, popularity=1.5)))
    again = load_learnt(tmp_path, model.matching.facts, n_items=N_ITEMS, dim=DIM)
    assert again.item_side.popularity == 1.5
    tensors = load_file(tmp_path / MATCHING)
    del tensors["popularity_of_new"]
    save_file(tensors, tmp_path / MATCHING)
    assert load_learnt(tmp_path, model.matching.facts, n_items=N_ITEMS, dim=DIM).item_side.popularity == 0


def test_an_artifact_of_before_there_were_text_neighbours_has_none(tmp_path: Path) -> None:
    model = learnt()
    write_learnt(tmp_path, model)
    again = load_learnt(tmp_path, model.matching.facts, n_items=N_ITEMS, dim=DIM)
    assert alike_of(again) == alike_of(model) != []
    for name in TEXT_NEIGHBOUR_FILES:
        (tmp_path / name).unlink()
    assert alike_of(load_learnt(tmp_path, model.matching.facts, n_items=N_ITEMS, dim=DIM)) == []


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("text_neighbour_starts", [0, 1]),
        ("text_neighbour_starts", [0, 4, 3]),
        ("text_neighbour_starts", []),
        ("text_neighbour_items", [0, 1]),
        ("text_neighbour_items", [0, 1, N_ITEMS]),
        ("text_neighbour_items", [0, 1, -1]),
        ("text_neighbours", [0, 1]),
    ],
)
def test_text_neighbours_that_do_not_belong_together_are_refused(tmp_path: Path, name: str, wrong: list[int]) -> None:
    model = learnt()
    write_learnt(tmp_path, model)
    np.save(tmp_path / f"{name}.npy", np.array(wrong, np.int32))
    with pytest.raises(ArtifactCorruptError, match="belong together"):
        load_learnt(tmp_path, model.matching.facts, n_items=N_ITEMS, dim=DIM)


def alike_of(model: Learnt) -> list[int]:
    asked = model.matching.ask(user(1, []))
    assert asked is not None
    users: list[int] = asked.alike.users.tolist()
    return users


def test_tensors_of_fewer_members_are_a_wrong_shape(tmp_path: Path) -> None:
    model = learnt()
    write_learnt(tmp_path, model)
    tower = TowerFacts(dim=TOWER // 2, members=2)
    with pytest.raises(ArtifactMismatchError, match="tower"):
        load_learnt(tmp_path, model.matching.facts.model_copy(update={"tower": tower}), n_items=N_ITEMS, dim=DIM)


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    model = learnt()
    write_learnt(tmp_path, model)
    np.save(tmp_path / "history_factors.npy", random(0, N_ITEMS, 9))
    with pytest.raises(ArtifactMismatchError, match="history_factors"):
        load_learnt(tmp_path, model.matching.facts, n_items=N_ITEMS, dim=DIM)
    (tmp_path / MATCHING).write_bytes(b"no tensors")
    with pytest.raises(ArtifactCorruptError, match="matching"):
        load_learnt(tmp_path, model.matching.facts, n_items=N_ITEMS, dim=DIM)


def test_a_learnt_user_without_history_uses_no_factor() -> None:
    assert not vector_of(learnt(), user(1, []))[4:9].any()
