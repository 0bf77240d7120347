"""Fitting the matching, top to bottom: parts in closed form on the past, weights on validation, parts again on all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from models.fused import FusedMatching, ItemParts, KnownUser, PartWeights, TextKernel, UserSide, covariance, scale
from models.training.features import Features
from models.training.interactions import Interactions
from models.training.judge import best_rows
from models.training.l3ae import MAX_ITEMS, factorise, fit_l3ae, history_matrix, text_kernel
from models.training.metrics import hits_of, recall_at
from models.training.split import Case, Split, UserEvents, events_by_user, split
from models.training.text_ridge import TextRidge, fit_text_ridge
from models.types import Matrix, Rows, Vector

_ZERO_SHOT_DIM, _BEHAVIOUR_RANK, _TEXT_RANK = 192, 384, 192
_DECAYS = (0.6, 0.7, 0.8, 0.9, 1.0)
_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
_CUTOFFS = (10, 20, 50, 100)
_MAX_CASES = 2_000
# Scores of the cases by part, float32: what the search holds at once.
_MAX_SCORES = 40_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is chosen on validation.

    Attributes:
        decay: What a step back in texts or history multiplies a weight by.
        weights: Of the parts.
        recall: Mean validation recall over tasks and cutoffs that chose them.
    """

    decay: float
    weights: PartWeights
    recall: float


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Both sides of every part, fitted."""

    side: UserSide
    items: ItemParts

    def matching(self, recipe: Recipe) -> FusedMatching:
        """Returns the matching that a recipe makes of these parts."""
        parts = (self.items.zero_shot, self.items.behaviour, self.items.text, self.items.popularity)
        covariances = [covariance(part) for part in parts]
        side = replace(self.side, decay=recipe.decay)
        return FusedMatching(side, recipe.weights, (covariances[0], covariances[1], covariances[2], covariances[3]))


def fit(interactions: Interactions, features: Features, *, seed: int = 0) -> tuple[Parts, Recipe]:
    """Chooses the recipe on a validation split, then fits the parts on everything.

    Raises:
        DataError: The interactions leave nothing to validate on.
    """
    recipe = choose(split(interactions, seed=seed), features, seed=seed)
    return fit_parts(interactions, features, seed=seed), recipe


def choose(held_out: Split, features: Features, *, seed: int = 0) -> Recipe:
    """Returns the decay and the weights with the best mean validation recall.

    Args:
        held_out: The past to fit on and the cases to judge by.
        features: Of items and texts.
        seed: Of fits and of the cases drawn.
    """
    parts = fit_parts(held_out.past, features, seed=seed)
    cases = _draw(held_out.cases, features.n_items, seed)
    decays = _DECAYS if held_out.past.times is not None else (1.0,)
    recipes = [_best_weights(parts, cases, features, decay) for decay in decays]
    return max(recipes, key=lambda recipe: recipe.recall)


def fit_parts(past: Interactions, features: Features, *, seed: int = 0) -> Parts:
    """Fits every part on the past alone."""
    n_items, dim = features.embeddings.shape
    events = events_by_user(past)
    popularity = past.popularity(n_items)
    history_factors, behaviour = _fit_behaviour(list(events.values()), popularity, features, seed)
    kernel = TextKernel(dim=dim)
    ridge = _fit_text(events, features, kernel, seed)
    meaning = features.item_meaning()
    projection = _principal(meaning)
    log_popularity = np.log1p(popularity)
    deviation = float(log_popularity.std()) or 1.0
    side = UserSide(
        kernel=kernel,
        decay=1.0,
        item_meaning=meaning,
        projection=projection,
        history_factors=history_factors,
        landmarks=ridge.landmarks,
        text_factors=ridge.user_factors,
    )
    items = ItemParts(
        zero_shot=meaning @ projection,
        behaviour=behaviour,
        text=ridge.item_factors,
        popularity=((log_popularity - log_popularity.mean()) / deviation)[:, None].astype(np.float32),
    )
    return Parts(side, items)


def known_user(case: Case, features: Features) -> KnownUser:
    """Returns a case as the service would see it."""
    return KnownUser(features.texts(case.texts), case.history, np.ones(len(case.history), np.float32))


def _fit_behaviour(
    events: Sequence[UserEvents], popularity: Vector, features: Features, seed: int
) -> tuple[Matrix, Matrix]:
    """Returns both factors over the whole catalogue; where it is too large, over its most popular items."""
    n_items = features.n_items
    chosen: Rows = np.sort(np.argsort(-popularity, kind="stable")[:MAX_ITEMS])
    tfidf = features.tfidf[chosen] if features.tfidf is not None else None
    consumed = history_matrix([event.items for event in events], n_items)[:, chosen]
    weights = fit_l3ae(consumed, text_kernel(features.embeddings[chosen], tfidf))
    left, right = factorise(weights, popularity[chosen], rank=_BEHAVIOUR_RANK, seed=seed)
    history_factors, behaviour = np.zeros((2, n_items, left.shape[1]), np.float32)
    history_factors[chosen], behaviour[chosen] = left, right
    return history_factors, behaviour


def _fit_text(events: dict[int, UserEvents], features: Features, kernel: TextKernel, seed: int) -> TextRidge:
    text_rows, consumed = _text_pairs(events, features)
    if len(text_rows) < 2:
        width = features.text_vectors.shape[1]
        empty = np.zeros((0, width), np.float32)
        return TextRidge(empty, np.zeros((0, 1), np.float32), np.zeros((features.n_items, 1), np.float32))
    return fit_text_ridge(features.text_vectors[text_rows], consumed, kernel, rank=_TEXT_RANK, seed=seed)


def _text_pairs(events: dict[int, UserEvents], features: Features) -> tuple[Rows, csr_matrix]:
    """Returns text rows and what their writers consumed: all after a stated need, what came later after other texts."""
    rows: list[int] = []
    wanted: list[Rows] = []
    for event in events.values():
        if (need := event.stated_need) is not None:
            pairs = [(need, event.items)]
        else:
            pairs = [(text, event.items[step + 1 :]) for step, text in enumerate(event.texts) if text]
        for text, items in pairs:
            if len(items) and text in features.text_rows:
                rows.append(features.text_rows[text])
                wanted.append(items)
    return np.array(rows, np.int64), history_matrix(wanted, features.n_items, longest=1_000)


def _principal(meaning: Matrix) -> Matrix:
    """Returns the directions that keep most of the items' inner products, shape `(text_dim, d)`."""
    _, vectors = np.linalg.eigh(meaning.T.astype(np.float64) @ meaning)
    projection: Matrix = vectors[:, ::-1][:, :_ZERO_SHOT_DIM].astype(np.float32)
    return projection


def _draw(cases: Sequence[Case], n_items: int, seed: int) -> list[Case]:
    """Returns as many cases of each task as memory allows."""
    limit = max(50, min(_MAX_CASES, _MAX_SCORES // n_items))
    drawn = []
    for task in ("history", "text"):
        group = [case for case in cases if case.task == task]
        order = np.random.default_rng(seed).permutation(len(group))[:limit]
        drawn += [group[row] for row in np.sort(order)]
    return drawn


def _best_weights(parts: Parts, cases: Sequence[Case], features: Features, decay: float) -> Recipe:
    """Climbs one weight at a time; the scores of each part are computed once."""
    scores = _part_scores(replace(parts.side, decay=decay), parts.items, cases, features)
    for score in scores.values():
        for row, case in zip(score, cases, strict=True):
            row[case.history] = 0
    best = PartWeights()
    value = _mean_recall(scores, best, cases)
    for _ in range(2):
        for name in PartWeights.model_fields:
            for weight in _WEIGHTS:
                tried = best.model_copy(update={name: weight})
                if tried != best and (recall := _mean_recall(scores, tried, cases)) > value:
                    best, value = tried, recall
    return Recipe(decay, best, value)


def _part_scores(side: UserSide, items: ItemParts, cases: Sequence[Case], features: Features) -> dict[str, Matrix]:
    users = [side.parts(known_user(case, features)) for case in cases]
    return {
        name: scale(np.concatenate([getattr(user, name) for user in users]), covariance(getattr(items, name)))
        @ getattr(items, name).T
        for name in PartWeights.model_fields
    }


def _mean_recall(scores: dict[str, Matrix], weights: PartWeights, cases: Sequence[Case]) -> float:
    """Returns the mean over cutoffs of recall, tasks counting alike."""
    total = sum(getattr(weights, name) * score for name, score in scores.items() if getattr(weights, name))
    if isinstance(total, int):
        return 0.0
    for row, case in zip(total, cases, strict=True):
        row[case.history] = -np.inf
    hits = hits_of(best_rows(total, max(_CUTOFFS)), [case.targets for case in cases])
    n_relevant = np.array([len(case.targets) for case in cases])
    by_case = np.mean([recall_at(hits, n_relevant, k) for k in _CUTOFFS], axis=0)
    tasks = np.array([case.task for case in cases])
    return float(np.mean([by_case[tasks == task].mean() for task in np.unique(tasks)]))
