"""The tower as it is fitted in torch and served in numpy: the same scores, repeatable, and zero-shot at its start."""

import os
import signal
import threading
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from models.tower import TowerFacts, tensor_shapes
from models.training import tower as training_tower
from models.training import tower_module
from models.training.split import UserEvents
from models.training.tower import FittedTower, fit_tower
from models.training.tower_examples import Batch, Examples
from models.training.tower_inputs import TowerInputs, TowerTables
from models.training.tower_module import TowerModule, TowerTraining
from models.types import Matrix

N_ITEMS, N_TEXTS, TEXT_DIM, N_TERMS = 24, 7, 10, 12
FACTS = TowerFacts(dim=6, heads=2, longest=5)


def random(seed: int, *shape: int) -> Matrix:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def terms(seed: int, n: int) -> csr_matrix:
    values = random(seed, n, N_TERMS)
    return csr_matrix(np.where(np.abs(values) > 1, values, 0))


INPUTS = TowerInputs(
    items=random(0, N_ITEMS, TEXT_DIM),
    texts=random(1, N_TEXTS, TEXT_DIM),
    item_terms=terms(2, N_ITEMS),
    text_terms=terms(3, N_TEXTS),
    projection=random(4, TEXT_DIM, FACTS.dim),
    warm=np.arange(N_ITEMS) < 20,
    popularity=random(5, N_ITEMS),
)
TEXTS = {f"text {row}": row for row in range(N_TEXTS)}


def events(items: list[int], texts: list[str | None] | None = None) -> UserEvents:
    return UserEvents(np.array(items), tuple(texts or [None] * len(items)), None)


def examples(users: list[UserEvents], *, ordered: bool = True) -> Examples:
    return Examples(tuple(users), TEXTS, np.empty(0, np.int64), N_ITEMS, ordered, FACTS.longest)


def modules(members: int = 1) -> list[TowerModule]:
    """Members as they start."""
    tables, facts = TowerTables(INPUTS), FACTS.model_copy(update={"members": members})
    torch.manual_seed(0)
    return [TowerModule(tables, facts, TowerTraining(epochs=1), torch.Generator()).eval() for _ in range(members)]


def shaken(members: int = 1) -> list[TowerModule]:
    """Members in which nothing is zero any more."""
    started = modules(members)
    with torch.no_grad():
        for module in started:
            for parameter in module.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return started


def known_rows(user: UserEvents) -> tuple[list[int], list[int]]:
    """What the last question of an ordered user knows: all items but the last, and their texts."""
    before = slice(None, -1)
    return user.items[before].tolist(), [TEXTS[text] for text in user.texts[before] if text]


@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize(
    "user",
    [
        events([1, 2, 3]),
        events([4, 5, 21, 6], ["text 1", "text 2", "text 3", "text 4"]),
        events([3, 9]),
    ],
)
def test_numpy_serves_what_torch_was_fitted_as(user: UserEvents, members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last question of an ordered user is what the service is asked: everything before, newest last."""
    for share in ("_TEXTS_ALONE", "_ITEMS_ALONE"):
        monkeypatch.setattr(f"models.training.tower_examples.{share}", 0.0)
    fitted_as = shaken(members)
    fitted = training_tower._fitted(fitted_as, [])
    batch = next(examples([user]).batches(1, np.random.default_rng(0)))
    with torch.no_grad():
        expected = np.hstack([module.users(module.items(), batch)[0, -1].numpy() for module in fitted_as])
    rows, texts = known_rows(user)
    words = INPUTS.text_terms[texts] @ fitted.words
    outputs = fitted.tower.texts(INPUTS.texts[texts], words)
    found = fitted.tower.user(outputs, fitted.items[rows], np.ones(len(rows), np.float32))
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("members", [1, 2])
def test_an_item_without_users_is_served_by_its_text(members: int) -> None:
    """Cold items have no residual: the numpy side computes what torch did."""
    fitted = training_tower._fitted(shaken(members), [])
    cold = slice(20, N_ITEMS)
    found = fitted.tower.items(INPUTS.items[cold], INPUTS.item_terms[cold] @ fitted.words)
    np.testing.assert_allclose(found, fitted.items[cold], atol=2e-5)


def test_members_are_towers_side_by_side() -> None:
    """What several find is what each would find alone, one behind the other."""
    together = training_tower._fitted(shaken(2), [])
    none, ones = np.empty((0, 2 * FACTS.dim), np.float32), np.ones(3, np.float32)
    found = together.tower.user(none, together.items[:3], ones)
    for member, module in enumerate(shaken(2)):
        module.facts = FACTS
        alone, own = training_tower._fitted([module], []), slice(member * FACTS.dim, (member + 1) * FACTS.dim)
        np.testing.assert_array_equal(together.items[:, own], alone.items)
        np.testing.assert_array_equal(together.words[:, own], alone.words)
        np.testing.assert_allclose(found[own], alone.tower.user(none[:, own], alone.items[:3], ones), atol=1e-6)


def test_before_training_a_user_is_the_faded_mean_of_what_is_known() -> None:
    fitted = training_tower._fitted(modules(), [])
    found = fitted.tower.user(np.empty((0, FACTS.dim), np.float32), fitted.items[[1, 2]], np.ones(2, np.float32))
    mean = FACTS.decay * fitted.items[1] + fitted.items[2]
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize("weights", [[0.0, 1.0], [-1.0, 1.0]])
def test_an_item_of_no_weight_is_not_read(weights: list[float]) -> None:
    """Its place in the order stays, its voice goes."""
    fitted = training_tower._fitted(shaken(), [])
    none = np.empty((0, FACTS.dim), np.float32)
    both = fitted.tower.user(none, fitted.items[[1, 2]], np.array(weights, np.float32))
    one = fitted.tower.user(none, fitted.items[[2]], np.ones(1, np.float32))
    np.testing.assert_allclose(both, one, atol=1e-6)


@pytest.mark.parametrize("members", [1, 2])
def test_the_shapes_are_those_that_are_fitted(members: int) -> None:
    tower = training_tower._fitted(shaken(members), []).tower
    assert {name: tensor.shape for name, tensor in tower.tensors.items()} == tensor_shapes(tower.facts, TEXT_DIM)


def fit(seed: int = 0, members: int = 1) -> FittedTower:
    users = [events([row % 20, (row + 1) % 20, (row + 2) % 20]) for row in range(40)]
    settings = TowerTraining(epochs=8, batch=8, learning_rate=2e-2)
    return fit_tower(INPUTS, examples(users), FACTS.model_copy(update={"members": members}), settings, seed=seed)


@pytest.mark.parametrize("members", [1, 2])
def test_the_loss_falls_and_a_seed_repeats(members: int) -> None:
    first, again, other = (fit(seed, members) for seed in (0, 0, 1))
    assert first.losses[-1] < 0.8 * first.losses[0]
    np.testing.assert_array_equal(first.items, again.items)
    assert not np.array_equal(first.items, other.items)


@pytest.fixture
def side_by_side(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A catalogue that counts as large, and two cores: members go side by side."""
    before = torch.get_num_threads()
    monkeypatch.setattr(training_tower, "_SMALL", 0)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_members_become_the_same_side_by_side_as_in_turn(request: pytest.FixtureRequest) -> None:
    in_turn = fit(members=2)
    request.getfixturevalue("side_by_side")
    np.testing.assert_array_equal(fit(members=2).items, in_turn.items)


@pytest.mark.usefixtures("side_by_side")
@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 2)])
def test_no_more_members_compute_at_once_than_there_are_threads(
    cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(cores)
    workers: set[int] = set()
    epoch = training_tower._Member.epoch

    def noted(member: training_tower._Member) -> float:
        workers.add(threading.get_ident())
        return epoch(member)

    monkeypatch.setattr(training_tower._Member, "epoch", noted)
    fit(members=2)
    assert len(workers) == expected


@pytest.mark.usefixtures("side_by_side")
def test_an_interrupted_fit_ends_within_its_epoch() -> None:
    n_batches, n_read = 2_000, count()

    class Long(Examples):
        def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
            (batch,) = super().batches(1_000, rng)
            for _ in range(n_batches):
                if next(n_read) == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                yield batch

    users = tuple(events([row % 20, (row + 1) % 20]) for row in range(8))
    long = Long(users, TEXTS, np.empty(0, np.int64), N_ITEMS, ordered=True, longest=FACTS.longest)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit_tower(INPUTS, long, FACTS.model_copy(update={"members": 2}), TowerTraining(epochs=n_batches))
    finally:
        signal.signal(signal.SIGINT, before)
    assert next(n_read) < n_batches


def test_members_learn_apart() -> None:
    """They start from the same projection, and end at different towers."""
    fitted = fit(members=2)
    assert fitted.items.shape == (N_ITEMS, 2 * FACTS.dim)
    assert not np.allclose(fitted.items[:, : FACTS.dim], fitted.items[:, FACTS.dim :], atol=0.05)


def test_above_a_size_the_softmax_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower_module, "FULL_SOFTMAX", 10)
    monkeypatch.setattr(tower_module, "_NEGATIVES", 6)
    fitted = fit()
    assert fitted.losses[-1] < 0.8 * fitted.losses[0]
