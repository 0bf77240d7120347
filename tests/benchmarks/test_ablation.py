"""An ablation changes one thing, judges it on validation, and leaves everything as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from benchmarks import ablation_head
from benchmarks.ablation import variants, whitened, without_lexical, without_words
from benchmarks.ablation_head import head_pools, loss_rows, taught_rows
from benchmarks.ablation_world import World, read_world
from benchmarks.head_losses import binary_cross_entropy, pairwise
from benchmarks.one_change import difference, patched
from models.errors import ConfigError, DataError
from models.native.library import LIBRARY
from models.relation_features import N_FEATURES
from models.training import head, head_network
from models.training.features import EncodedTexts, Features, make_features
from models.training.fit_parts import fit_parts
from models.training.head import Pools
from models.training.tower_module import TowerTraining
from tests.index_builder.world_tables import write
from tests.models.training import worlds


@pytest.fixture
def world(tmp_path: Path, tiny_model: Path) -> World:
    section = f'[encoder]\nmodel = "{tiny_model}"\ndevice = "cpu"\n'
    write(worlds.World(n_users=120), tmp_path, section)
    return read_world(tmp_path / "recall.toml", tmp_path, "history")


def features_of(items: np.ndarray) -> Features:
    known = make_features(["a", "b"], items[:2], EncodedTexts({}, items[:0]), seed=0)
    return replace(known, embeddings=items, text_vectors=np.hstack([items, np.zeros((len(items), 2), np.float32)]))


def whole_without(features: Features) -> np.ndarray:
    return np.hstack([features.embeddings, np.zeros_like(features.item_lexical)])


def test_the_future_that_an_evaluation_asks_for_is_not_here(world: World) -> None:
    known = worlds.World(n_users=120).interactions
    assert known.times is not None
    assert world.past.times is not None
    assert world.past.times.max() < np.quantile(known.times, 0.9 * 0.9)
    assert len(world.cases)


def test_what_users_wrote_who_are_not_fitted_on_is_read(tmp_path: Path, tiny_model: Path) -> None:
    known = worlds.World(n_users=120, clock=False, ordered=False)
    needs = tuple(f"what {user} needs" for user in known.interactions.users)
    known.interactions = replace(known.interactions, texts=needs)
    write(known, tmp_path, f'[encoder]\nmodel = "{tiny_model}"\ndevice = "cpu"\n')
    world = read_world(tmp_path / "recall.toml", tmp_path, "text")
    written = {text for case in world.cases for text in case.texts if text}
    assert written - set(world.past.texts or ())
    assert written <= set(world.features().text_rows)


def test_a_task_that_is_none_is_refused(tmp_path: Path) -> None:
    write(worlds.World(n_users=40), tmp_path)
    with pytest.raises(ConfigError, match="'histories' is none of history, text"):
        read_world(tmp_path / "recall.toml", tmp_path, "histories")


def test_every_constant_is_one_of_a_module_and_stands_again_afterwards() -> None:
    for group in variants().values():
        for variant in group:
            before = [getattr(module, name) for module, name, _ in variant.constants]
            with patched(variant.constants):
                assert [getattr(module, name) for module, name, _ in variant.constants] != before or not before
            assert [getattr(module, name) for module, name, _ in variant.constants] == before


def test_every_loss_of_the_head_gets_a_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_LEAST_POOLS", 1)
    monkeypatch.setattr(head, "ENOUGH", 1)
    monkeypatch.setattr(head_network, "_EPOCHS", 1)
    parts = fit_parts(world.past, world.features(), training=TowerTraining(epochs=1))
    pools = head_pools(world, parts)
    rows = list(loss_rows(pools))
    of_situation = ["no head", "list-wise softmax, by right answers alone", "pairwise", "binary cross-entropy"]
    situations = ["history", "query"]  # what is said in a word or two is a query
    assert {row[0] for row in rows[1:]} == {f"{name}: {row}" for name in situations for row in of_situation}
    assert all(0 < float(recall) <= 1 for row in rows[1:] for recall in row[1:5])
    assert head_network.F is functional
    assert head_network.LIBRARY is LIBRARY
    shipped = list(taught_rows(pools))
    assert [row[0].split(":")[0] for row in shipped[1:]] == [name for name in situations for _ in range(2)]
    assert all(0 < float(recall) <= 1 for row in shipped[1:] for recall in row[1:5])


def told_apart(n_cases: int) -> Pools:
    """Pools of 30 whose fifth feature tells the right answer, and whose last is the case's number."""
    features = np.random.default_rng(0).standard_normal((n_cases, 30, N_FEATURES)).astype(np.float32)
    right = features[:, :, 4] == features[:, :, 4].max(axis=1, keepdims=True)
    features[:, :, -1] = np.arange(n_cases)[:, None]
    return Pools(features, right, np.ones(n_cases, np.int64), np.full(n_cases, "history"), np.ones(n_cases, np.bool_))


def test_nothing_of_a_head_has_seen_what_judges_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_network, "_EPOCHS", 1)
    seen, judged = set[int](), list[int]()

    class Watched:
        def score(self, features: np.ndarray) -> np.ndarray:
            own = set(features[:, -1].astype(int).tolist())
            assert not own & seen
            judged.extend(own)
            return features[:, 4]

    def watched(pools: Pools, scores: np.ndarray, *, seed: int) -> Watched:
        assert scores.shape == pools.right.shape
        seen.clear()
        seen.update(pools.features[:, 0, -1].astype(int).tolist())
        return Watched()

    monkeypatch.setattr(ablation_head, "taught", watched)
    rows = list(taught_rows(told_apart(120)))
    assert sorted(judged) == sorted(3 * list(range(120)))
    assert rows[2][1:5] == ("1.0000",) * 4


def test_what_is_taught_is_told_from_right_answers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_network, "_EPOCHS", 3)
    pools = told_apart(120)
    monkeypatch.setattr(head, "_TAUGHT", 0.0)  # of pools that all hold a right answer, nothing else is left to learn
    assert list(taught_rows(pools))[2][5:] == ("+0.0000 ± 0.0000",) * 2
    monkeypatch.setattr(head, "_TAUGHT", 1.0)
    assert list(taught_rows(pools))[2][5:] != ("+0.0000 ± 0.0000",) * 2


def test_too_few_pools_to_fit_a_head_are_said() -> None:
    with pytest.raises(DataError, match="80 pools of users hold a right answer, which is too few to fit one"):
        list(loss_rows(told_apart(80)))


def test_losses_of_one_right_answer_are_what_their_names_say() -> None:
    scores = torch.tensor([[2.0, -1.0, 0.5]])
    wanted = torch.tensor([[0.0, 1.0, 0.0]])
    expected = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="sum")
    assert -(wanted * binary_cross_entropy(scores, dim=-1)).sum() == pytest.approx(float(expected), abs=1e-5)
    beats = functional.logsigmoid(torch.tensor([-3.0, 0.0, -1.5])).mean()
    assert (wanted * pairwise(scores, dim=-1)).sum() == pytest.approx(float(beats), abs=1e-5)


def test_whitened_embeddings_have_no_direction_that_leads() -> None:
    rng = np.random.default_rng(0)
    items = rng.standard_normal((400, 6)).astype(np.float32) * [9, 1, 1, 1, 1, 1]
    spread = whitened(features_of(items)).embeddings.std(axis=0)
    assert spread.max() < 1.2 * spread.min()


def test_what_is_left_out_says_nothing(world: World) -> None:
    features = world.features()
    assert not without_words(features).item_terms.toarray().any()
    assert np.abs(without_lexical(features).item_meaning() - whole_without(features)).max() < 2e-3


def test_a_difference_of_nothing_is_nothing() -> None:
    same = np.array([0.0, 0.5, 1.0])
    assert difference(same, same) == "+0.0000 ± 0.0000"
