"""Learning: it finds structure, repeats by seed, serves what it judged, and finds nothing where there is nothing."""

from dataclasses import replace
from unittest.mock import ANY

import numpy as np
import pytest

from models.errors import DataError
from models.fused import PartWeights
from models.training.features import EncodedTexts, Features, make_features
from models.training.fit import _Epochs, choose, fit
from models.training.fit_parts import fit_parts
from models.training.interactions import Interactions
from models.training.judge import judge, rank_by_scores
from models.training.part_scores import PartScores, known_users
from models.training.split import TASKS, Case, split
from models.types import Matrix
from tests.quick_fits import fit_thoroughly

N_THEMES, PER_THEME, N_USERS, PER_USER = 5, 16, 150, 6
N_ITEMS = N_THEMES * PER_THEME


@pytest.fixture
def _thorough(monkeypatch: pytest.MonkeyPatch) -> None:
    fit_thoroughly(monkeypatch)


def world(seed: int = 0, *, shuffled: bool = False, texts: bool = False) -> tuple[Interactions, Features]:
    """Users keep to one theme; the texts of a theme share words, and the embeddings know nothing of it."""
    rng = np.random.default_rng(seed)
    themes = rng.integers(0, N_THEMES, N_USERS)
    items = np.concatenate([theme * PER_THEME + rng.permutation(PER_THEME)[:PER_USER] for theme in themes])
    if shuffled:
        rng.shuffle(items)
    users = np.repeat(np.arange(N_USERS), PER_USER)
    times = np.tile(np.arange(PER_USER, dtype=np.float64), N_USERS)
    needs = [f"need {user} theme{theme}" for user, theme in enumerate(themes)]
    interactions = Interactions(
        users=users,
        user_ids=tuple(map(str, range(N_USERS))),
        items=items,
        times=None if texts else times,
        texts=tuple(needs[user] for user in users) if texts else None,
    )
    embeddings = unit(rng.standard_normal((N_ITEMS, 8)))
    item_texts = [f"item {row} theme{row // PER_THEME}" for row in range(N_ITEMS)]
    user_texts = {need: need for need in needs} if texts else {}
    user_embeddings = unit(rng.standard_normal((len(user_texts), 8)))
    features = make_features(item_texts, embeddings, EncodedTexts(user_texts, user_embeddings), seed=0)
    return interactions, features


def unit(vectors: np.ndarray) -> Matrix:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Product:
    """The fitted matching as a scorer: user vector times item vectors, as the index does it."""

    def __init__(self, interactions: Interactions, features: Features) -> None:
        parts, recipe = fit(interactions, features)
        self.features, self.vectors = features, parts.items.joined()
        self.matching, self.words = parts.matching(recipe.decay, recipe.weights), parts.words

    def scores(self, cases: list[Case]) -> Matrix:
        users = [self.matching.ask(user) for user in known_users(cases, self.features, self.words)]
        nobody = np.zeros(self.vectors.shape[1])
        return np.stack([nobody if user is None else user.vector for user in users]) @ self.vectors.T


def recall(interactions: Interactions, features: Features, k: str = "recall@10") -> dict[str, float]:
    held_out = split(interactions, share=0.2)
    ranked = rank_by_scores(Product(held_out.past, features), held_out.cases, 100)
    popularity = held_out.past.popularity(N_ITEMS)
    found = {}
    for task in ("history", "text"):
        chosen = [row for row, case in enumerate(held_out.cases) if case.task == task]
        if chosen:
            cases = [held_out.cases[row] for row in chosen]
            judged = judge(ranked[chosen], cases, popularity=popularity, embeddings=features.embeddings)
            found[task] = judged.figures[k]
    return found


@pytest.mark.usefixtures("_thorough")
def test_themes_are_found_from_histories() -> None:
    """Ten of the eleven items of the theme that are left: chance is 10/75, themes give 10/11."""
    assert recall(*world())["history"] > 0.7


@pytest.mark.usefixtures("_thorough")
def test_themes_are_found_from_texts_alone() -> None:
    """Six of the theme's sixteen items are right: a ranking that knows the theme finds 6/16·10 of 6, chance .13."""
    found = recall(*world(texts=True))
    assert found["text"] > 0.4
    assert found["history"] > 0.6


@pytest.mark.usefixtures("_thorough")
def test_with_shuffled_targets_nothing_is_found() -> None:
    """Leaks would show here: recall falls to what chance gives, 10 of 75 items, within noise."""
    assert recall(*world(shuffled=True))["history"] < 0.25
    assert recall(*world(texts=True, shuffled=True))["text"] < 0.25


def test_a_seed_repeats() -> None:
    interactions, features = world()
    first, second = fit(interactions, features), fit(interactions, features)
    assert first[1] == second[1]
    np.testing.assert_array_equal(first[0].items.joined(), second[0].items.joined())


@pytest.mark.usefixtures("_thorough")
def test_an_early_best_epoch_is_fitted_again_with_two_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at a high learning rate it is best sooner than one whose rate comes down."""
    recalls = iter([0.1, 0.3, 0.2, 0.1, 0.1])
    monkeypatch.setattr(_Epochs, "_judged", lambda *_: next(recalls))
    interactions, features = world(texts=True)
    recipe = choose(split(interactions), features)
    assert recipe.training.epochs == 2 + 2
    assert recipe.figures["tower"] == {"loss": ANY, "recall": [0.1, 0.3, 0.2, 0.1, 0.1]}


def test_the_search_judges_what_the_service_does() -> None:
    """The scores that weights are chosen by equal user vector times item vector."""
    interactions, features = world(texts=True)
    held_out = split(interactions)
    parts = fit_parts(held_out.past, features)
    recipe = choose(held_out, features)
    matching = parts.matching(recipe.decay, recipe.weights)
    for task in TASKS:
        cases = [case for case in held_out.cases if case.task == task][:5]
        scores, weights = PartScores(parts, cases, features, recipe.decay), getattr(recipe.weights, task)
        total = sum(getattr(weights, name) * scores.part(name) for name in PartWeights.model_fields)
        for row, case in zip(total, cases, strict=True):
            asked = matching.ask(next(known_users([case], features, parts.words)))
            assert asked is not None
            np.testing.assert_allclose(row, parts.items.joined() @ asked.vector, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("_thorough")
def test_an_item_without_users_is_found_by_its_text() -> None:
    """Item 0 is in no interaction; users of its theme still get it among the first half of the catalogue."""
    interactions, features = world(texts=True)
    kept = interactions.items != 0
    warm = Interactions(
        users=interactions.users[kept],
        user_ids=interactions.user_ids,
        items=interactions.items[kept],
        texts=tuple(text for text, keep in zip(interactions.texts or (), kept, strict=True) if keep),
    )
    product = Product(warm, features)
    fans = [user for user in range(N_USERS) if f"need {user} theme0" in features.text_rows]
    cases = [Case(user, "text", np.empty(0, np.int64), (f"need {user} theme0",), np.array([0]), True) for user in fans]
    ranks = [(scores > scores[0]).sum() for scores in product.scores(cases)]
    assert np.median(ranks) < N_ITEMS / 2


def test_too_few_interactions_are_an_error() -> None:
    _, features = world()
    lonely = Interactions(np.array([0, 1]), ("a", "b"), np.array([1, 2]))
    with pytest.raises(DataError, match="nothing to judge by"):
        fit(lonely, features)


def test_users_of_whom_nothing_is_known_choose_nothing() -> None:
    """Whatever they are answered is what is popular: that says nothing of how much popularity weighs for others."""
    interactions, features = world()
    held_out = split(interactions)
    nobody = Case(0, "history", np.empty(0, np.int64), (), np.array([0]), is_new_user=True)
    crowded = replace(held_out, cases=(*held_out.cases, *[nobody] * 500))
    assert choose(crowded, features) == choose(held_out, features)
    with pytest.raises(DataError, match="of none of the 500 users"):
        choose(replace(held_out, cases=(nobody,) * 500), features)


def test_users_of_whose_texts_none_was_read_choose_nothing() -> None:
    interactions, features = world(texts=True)
    held_out = split(interactions)
    unread = replace(held_out.cases[0], task="text", history=np.empty(0, np.int64), texts=("a text that nobody read",))
    crowded = replace(held_out, cases=(*held_out.cases, *[unread] * 500))
    assert choose(crowded, features) == choose(held_out, features)


def test_it_tells_what_it_does() -> None:
    said: list[str] = []
    fit(*world(), say=said.append)
    assert said[0] == "750 interactions, validated on users who are known 150 by history"
    assert "tower, epoch 1 of at most 2" in said
    assert "weights" in said
    assert "all 900 interactions" in said


def forum(*, wanted_is_new: bool) -> tuple[Interactions, Features]:
    """A question an hour; each hour three users answer one of the four newest, or any there is."""
    rng = np.random.default_rng(3)
    n_items, n_users = 200, 60
    hours = np.repeat(np.arange(20, n_items), 3)
    items = np.array([rng.integers(hour - 3 if wanted_is_new else 0, hour + 1) for hour in hours])
    users = np.arange(len(hours)) % n_users
    interactions = Interactions(users, tuple(map(str, range(n_users))), items, hours + 0.5)
    texts = [f"question {row}" for row in range(n_items)]
    embeddings, nothing = unit(rng.standard_normal((n_items, 8))), EncodedTexts({}, np.empty((0, 8), np.float32))
    times = np.arange(n_items, dtype=np.float64)
    return interactions, make_features(texts, embeddings, nothing, item_times=times, seed=0)


@pytest.mark.parametrize("wanted_is_new", [True, False])
def test_the_age_of_items_counts_where_it_says_something(*, wanted_is_new: bool) -> None:
    interactions, features = forum(wanted_is_new=wanted_is_new)
    parts, recipe = fit(interactions, features)
    assert recipe.figures["freshness"] == recipe.freshness
    assert (recipe.freshness > 0) == wanted_is_new
    assert (parts.item_side.popularity > 0) == wanted_is_new
    newest, oldest = parts.items.popularity[-3:].mean(), parts.items.popularity[:3].mean()
    assert (newest > oldest + 1) == wanted_is_new


def test_ages_are_those_at_the_end_of_the_past() -> None:
    """What is consumed later says nothing of them, nor do its times."""
    interactions, features = forum(wanted_is_new=True)
    held_out = split(interactions)
    after = replace(features, item_times=np.where(np.arange(200) > held_out.past.items.max(), 1e9, features.item_times))
    for known in (features, after):
        parts = fit_parts(held_out.past, known)
        assert parts.freshness is not None
        np.testing.assert_allclose(parts.freshness.items[-20:], parts.freshness.newest, rtol=1e-5)


def season(*, turns: bool) -> tuple[Interactions, Features]:
    """A shop of two halves, one for summer; winter comes late in the past, or days of both are mixed."""
    rng = np.random.default_rng(5)
    n_items, n_users, n = 300, 600, 2_400
    is_winter = np.arange(n) >= 0.75 * n  # everybody consumes one thing of it, last
    if not turns:
        is_winter = rng.permutation(is_winter)
    items = rng.integers(0, n_items // 2, n) + np.where(is_winter, n_items // 2, 0)
    interactions = Interactions(np.arange(n) % n_users, tuple(map(str, range(n_users))), items, np.arange(n) + 0.5)
    embeddings, nothing = unit(rng.standard_normal((n_items, 8))), EncodedTexts({}, np.empty((0, 8), np.float32))
    return interactions, make_features([f"thing {row}" for row in range(n_items)], embeddings, nothing, seed=0)


@pytest.mark.parametrize("turns", [True, False])
def test_what_is_consumed_lately_counts_where_seasons_turn(*, turns: bool) -> None:
    interactions, features = season(turns=turns)
    parts, recipe = fit(interactions, features)
    assert recipe.figures["trend"] == recipe.trend
    assert (recipe.trend > 0) == turns
    assert (parts.items.popularity[150:].mean() > parts.items.popularity[:150].mean()) == turns


def test_without_a_clock_nothing_is_said_of_trends() -> None:
    parts, recipe = fit(*world())
    assert recipe.trend == 0
    assert "trend" not in recipe.figures
    assert not parts.trends
