"""Baselines against their textbook formulas, written out in dense numpy."""

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from models.training.baselines import linear
from models.training.baselines.base import tune
from models.training.baselines.factors import ImplicitAls
from models.training.baselines.linear import Ease, PlainL3ae
from models.training.baselines.neighbours import ItemNeighbours, TextNeighbours, UserNeighbours
from models.training.baselines.popular import Popularity, RecentPopularity
from models.training.baselines.texts import Bm25, ZeroShot
from models.training.encodings import encodings_of
from models.training.interactions import Interactions
from models.training.judge import rank_by_scores
from models.training.split import Case
from models.types import Matrix
from tests.models.training.worlds import World, unit

N_USERS, N_ITEMS = 30, 9
RNG = np.random.default_rng(1)
DENSE = (RNG.random((N_USERS, N_ITEMS)) < 0.3).astype(np.float32)
DENSE[DENSE.sum(axis=1) == 0, 0] = 1
USERS, ITEMS = np.nonzero(DENSE)
PAST = Interactions(
    users=USERS,
    user_ids=tuple(map(str, range(N_USERS))),
    items=ITEMS,
    times=np.arange(len(USERS), dtype=np.float64),
    texts=tuple(f"text of {user}" if item % 2 else None for user, item in zip(USERS, ITEMS, strict=True)),
)
TEXTS = [f"text of {user}" for user in range(N_USERS)]
ENCODINGS = encodings_of(
    unit(RNG.standard_normal((N_ITEMS, 4))), {text: text for text in TEXTS}, unit(RNG.standard_normal((N_USERS, 4)))
)
HISTORY = np.array([2, 7, 4])
DECAY = 0.5
WEIGHTS = np.zeros(N_ITEMS, np.float32)
WEIGHTS[HISTORY] = [0.25, 0.5, 1]


def case(history: np.ndarray = HISTORY, texts: tuple[str, ...] = ()) -> Case:
    return Case(0, "history" if len(history) else "text", history, texts, np.array([0]), is_new_user=True)


def cosines(left: Matrix, right: Matrix) -> Matrix:
    lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    return left @ right.T / np.maximum(lengths, 1e-12)


def test_popularity_counts_users() -> None:
    (found,) = Popularity().fit(PAST, ENCODINGS, {}, seed=0)([case()], 1)
    np.testing.assert_array_equal(found, DENSE.sum(axis=0))


def test_recent_popularity_counts_the_newest_and_orders_the_rest_by_all() -> None:
    (found,) = RecentPopularity().fit(PAST, ENCODINGS, {"newest_share": 0.4}, seed=0)([case()], 1)
    assert PAST.times is not None
    newest = PAST.times >= np.quantile(PAST.times, 0.6)
    recent = np.bincount(ITEMS[newest], minlength=N_ITEMS)
    np.testing.assert_array_equal(np.floor(found), recent)
    equal = np.flatnonzero(recent == recent[0])
    np.testing.assert_array_equal(np.argsort(found[equal]), np.argsort(DENSE.sum(axis=0)[equal], kind="stable"))


def test_recent_popularity_needs_a_clock() -> None:
    assert RecentPopularity().fits(World(n_users=9).interactions)
    assert not RecentPopularity().fits(World(n_users=9, clock=False).interactions)


def test_ease_is_the_closed_form() -> None:
    p = np.linalg.inv(DENSE.T @ DENSE + 10 * np.eye(N_ITEMS))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    (found,) = Ease().fit(PAST, ENCODINGS, {"ridge": 10}, seed=0)([case()], DECAY)
    np.testing.assert_allclose(found, WEIGHTS @ b, rtol=1e-4, atol=1e-5)


def test_ease_by_the_users_inverse_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = Ease().fit(PAST, ENCODINGS, {"ridge": 10}, seed=0)([case()], DECAY)
    monkeypatch.setattr(linear, "_MAX_ITEMS", 1)
    np.testing.assert_allclose(Ease().fit(PAST, ENCODINGS, {"ridge": 10}, seed=0)([case()], DECAY), dense, atol=1e-5)


def test_plain_l3ae_is_the_closed_form() -> None:
    """reg_F 20, reg_X 10, reg_E 200; both diagonals zero."""
    phi = ENCODINGS.items
    p1 = np.linalg.inv(phi @ phi.T + 20 * np.eye(N_ITEMS))
    c = -p1 / np.diag(p1)
    np.fill_diagonal(c, 0)
    p2 = np.linalg.inv(DENSE.T @ DENSE + 210 * np.eye(N_ITEMS))
    b = 200 * p2 @ c - p2 * (1 + 200 * np.diag(p2 @ c)) / np.diag(p2)
    np.fill_diagonal(b, 0)
    (found,) = PlainL3ae().fit(PAST, ENCODINGS, {"prior": 200}, seed=0)([case()], DECAY)
    others = np.setdiff1d(np.arange(N_ITEMS), HISTORY)
    np.testing.assert_allclose(found[others], (WEIGHTS @ b)[others], rtol=1e-3, atol=1e-4)


def test_item_neighbours_sum_cosines() -> None:
    (found,) = ItemNeighbours().fit(PAST, ENCODINGS, {"neighbours": N_ITEMS}, seed=0)([case()], DECAY)
    np.testing.assert_allclose(found, WEIGHTS @ cosines(DENSE.T, DENSE.T), rtol=1e-5)


def test_item_neighbours_are_the_nearest_alone() -> None:
    """Two neighbours, an item itself among them."""
    nearest = cosines(DENSE.T, DENSE.T)
    kept = np.where(nearest >= np.sort(nearest, axis=1)[:, [-2]], nearest, 0)
    (found,) = ItemNeighbours().fit(PAST, ENCODINGS, {"neighbours": 2}, seed=0)([case()], DECAY)
    np.testing.assert_allclose(found, WEIGHTS @ kept, rtol=1e-5)


def test_user_neighbours_weigh_by_cosine() -> None:
    alike = cosines(WEIGHTS[None], DENSE)[0]
    alike[alike < np.sort(alike)[-5]] = 0
    (found,) = UserNeighbours().fit(PAST, ENCODINGS, {"neighbours": 5}, seed=0)([case()], DECAY)
    np.testing.assert_allclose(found, alike @ DENSE, rtol=1e-5)


def test_text_neighbours_weigh_by_the_power_of_the_cosine() -> None:
    """A text was written with an event: what its writer consumed then and later counts."""
    texts = (TEXTS[3], TEXTS[8])
    expected = np.zeros(N_ITEMS)
    vectors = ENCODINGS.of_texts(texts)
    for user in range(N_USERS):
        own = np.flatnonzero(DENSE[user])
        written = [item for item in own if item % 2]
        stated = len(own) > 1 and len(written) == len(own)
        likeness = np.maximum(vectors @ ENCODINGS.of_texts((TEXTS[user],))[0], 0) ** 4 @ [DECAY, 1]
        for item in written[:1] if stated else written:
            expected[own[own >= item]] += likeness
    (found,) = TextNeighbours().fit(PAST, ENCODINGS, {"power": 4}, seed=0)([case(texts=texts)], DECAY)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_text_neighbours_need_texts() -> None:
    silent = Interactions(USERS, PAST.user_ids, ITEMS, PAST.times)
    assert TextNeighbours().fits(PAST)
    assert not TextNeighbours().fits(silent)
    assert tune(TextNeighbours(), silent, ENCODINGS) == {}


def test_implicit_als_solves_a_new_user_from_the_history() -> None:
    """With the library's item factors Y: user = (YᵀY + Yᵀ(C - I)Y + λI)⁻¹YᵀC·1, C = α·weight where consumed."""
    fitted = ImplicitAls().fit(PAST, ENCODINGS, {"factors": 3, "alpha": 5, "regularization": 1}, seed=0)
    with threadpool_limits(1, "blas"):
        library = AlternatingLeastSquares(factors=3, alpha=5, regularization=1, random_state=0)
        library.fit(csr_matrix(DENSE), show_progress=False)
    y = library.item_factors.astype(np.float64)
    confidence = 5 * WEIGHTS
    extra = np.where(WEIGHTS > 0, confidence - 1, 0)
    user = np.linalg.solve(y.T @ y + (y.T * extra) @ y + np.eye(3), y.T @ confidence)
    (found,) = fitted([case()], DECAY)
    np.testing.assert_allclose(found, y @ user, rtol=1e-3, atol=1e-4)


BM25_ITEMS = ["red red boots", "red hat", "green hat and scarf", ""]


def bm25(words: list[str], k1: float = 1.2, b: float = 0.75) -> np.ndarray:
    """Lucene's: Σ ln(1 + (N - n + ½)/(n + ½))·f/(f + k1·(1 - b + b·length/mean length))."""
    documents = [text.split() for text in BM25_ITEMS]
    mean = np.mean([len(document) for document in documents])
    found = np.zeros(len(documents))
    for word in words:
        n = sum(word in document for document in documents)
        for row, document in enumerate(documents):
            f = document.count(word)
            found[row] += np.log(1 + (4 - n + 0.5) / (n + 0.5)) * f / (f + k1 * (1 - b + b * len(document) / mean))
    return found


def bm25_scores(history: list[int], texts: tuple[str, ...], decay: float) -> np.ndarray:
    encodings = encodings_of(np.eye(4, dtype=np.float32), {}, np.empty((0, 4), np.float32))
    baseline = Bm25(BM25_ITEMS, {"a RED hat": "a red hat", "scarf": "scarf"})
    fitted = baseline.fit(PAST, encodings, {"k1": 1.2, "b": 0.75}, seed=0)
    return fitted([case(np.array(history, np.int64), texts)], decay)[0]


def test_bm25_of_texts_is_the_formula_and_older_texts_count_less() -> None:
    found = bm25_scores([2], ("scarf", "a RED hat"), 0.5)
    np.testing.assert_allclose(found, 0.5 * bm25(["scarf"]) + bm25(["a", "red", "hat"]), rtol=1e-5)


def test_bm25_of_a_silent_user_reads_the_history() -> None:
    found = bm25_scores([0, 1], (), 0.5)
    np.testing.assert_allclose(found, 0.5 * bm25(["red", "red", "boots"]) + bm25(["red", "hat"]), rtol=1e-5)


def test_zero_shot_is_the_decayed_sum() -> None:
    texts = (TEXTS[3], TEXTS[8])
    user = ENCODINGS.of_texts(texts).T @ [DECAY, 1] + ENCODINGS.items[HISTORY].T @ [DECAY**2, DECAY, 1]
    (found,) = ZeroShot().fit(PAST, ENCODINGS, {}, seed=0)([case(texts=texts)], DECAY)
    np.testing.assert_allclose(found, ENCODINGS.items @ user, rtol=1e-4, atol=1e-5)


def test_who_is_unknown_gets_what_is_popular_and_equal_scores_too() -> None:
    """Item-kNN knows nothing of an item without users; the tie-break never moves items whose scores differ."""
    world = World(n_users=40)
    tuned = tune(ItemNeighbours(), world.interactions, world.encodings)["history"]
    popularity = world.interactions.popularity(world.n_items)
    nothing = Case(0, "history", np.empty(0, np.int64), (), np.array([0]), is_new_user=True)
    (ranked,) = rank_by_scores(tuned, [nothing], 10)
    np.testing.assert_array_equal(ranked, np.argsort(-popularity, kind="stable")[:10])
    known = Case(0, "history", world.interactions.items[:3], (), np.array([0]), is_new_user=True)
    (plain,) = tuned.compute([known], tuned.decay)
    (broken,) = tuned.scores([known])
    apart = np.abs(plain[:, None] - plain[None]) > 1e-4 * plain.max()
    np.testing.assert_array_equal(
        np.sign(plain[:, None] - plain[None])[apart], np.sign(broken[:, None] - broken[None])[apart]
    )
