"""Fitting the matching, top to bottom: parts in closed form on the past, weights on validation, parts again on all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from models.fused import ItemParts, PartWeights, SituationWeights, TextKernel, UserSide
from models.training.features import Features
from models.training.interactions import Interactions
from models.training.l3ae import L3AE, factorise, history_matrix
from models.training.part_scores import Parts, PartScores
from models.training.split import TASKS, Case, Split, Task, UserEvents, events_by_user, split
from models.training.text_ridge import TextRidge, fit_text_ridge
from models.types import JsonValue, Mask, Matrix, Rows, Vector

_ZERO_SHOT_DIM, _BEHAVIOUR_RANK, _TEXT_RANK = 192, 384, 192
_LANDMARKS = 1_024
_COLD_RIDGE = 1.0
_DECAYS = (0.6, 0.7, 0.8, 0.9, 1.0)
_MAX_CASES = 600
# Scores of the cases by part, float32: what the search holds at once.
_MAX_SCORES = 40_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is chosen on validation.

    Attributes:
        decay: What a step back in texts or history multiplies a weight by.
        weights: Of the parts, by situation.
        figures: Validation recall by task: the product's, that of text similarity and of popularity.
    """

    decay: float
    weights: SituationWeights
    figures: dict[str, JsonValue]


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
    by_task = _draw(held_out.cases, features.n_items, seed)
    main: Task = "history" if "history" in by_task else "text"
    start = SituationWeights()
    chosen: dict[str, PartWeights] = {}
    search = {decay: PartScores(parts, by_task[main], features, decay) for decay in _decays(held_out.past)}
    decay = max(search, key=lambda decay: search[decay].mean_recall(getattr(start, main)))
    figures: dict[str, JsonValue] = {}
    for task, cases in by_task.items():
        scores = search[decay] if task == main else PartScores(parts, cases, features, decay)
        chosen[task] = scores.climb(getattr(start, task))
        figures[task] = {
            "cases": len(cases),
            "product": scores.figures(chosen[task]),
            "zero_shot": scores.figures(_alone("zero_shot")),
            "popularity": scores.figures(_alone("popularity")),
        }
    return Recipe(decay, start.model_copy(update=chosen), figures)


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
    warm = popularity > 0
    side = UserSide(
        kernel=kernel,
        decay=1.0,
        embeddings=features.embeddings,
        lexical=features.item_lexical,
        projection=projection,
        history_factors=history_factors,
        landmarks=ridge.landmarks,
        text_factors=ridge.user_factors,
    )
    items = ItemParts(
        zero_shot=meaning @ projection,
        behaviour=behaviour,
        text=_fill_cold(ridge.item_factors, meaning, warm),
        popularity=_popularity_part(popularity),
    )
    return Parts(side, items)


def _fit_behaviour(
    events: Sequence[UserEvents], popularity: Vector, features: Features, seed: int
) -> tuple[Matrix, Matrix]:
    """Returns what a consumed item adds and what an item gains, each of shape `(n_items, rank)`."""
    consumed = history_matrix([event.items for event in events], features.n_items)
    model = L3AE(consumed, _text_features(features, seed), seed=seed)
    return factorise(model, popularity, rank=_BEHAVIOUR_RANK, seed=seed)


def _text_features(features: Features, seed: int) -> Matrix:
    """Returns Φ with ΦΦᵀ ≈ the kernel of the items' texts, by Nyström: Φ = K_nm·K_mm^(-1/2), shape `(n_items, m)`."""
    meaning = features.item_meaning()
    kernel = TextKernel(dim=features.embeddings.shape[1], width=0.3, lexical_share=0.5)
    drawn = np.random.default_rng(seed).permutation(len(meaning))[:_LANDMARKS]
    landmarks = meaning[np.sort(drawn)]
    values, vectors = np.linalg.eigh(kernel.between(landmarks, landmarks).astype(np.float64))
    kept = values > 1e-6 * values[-1]
    root = vectors[:, kept] / np.sqrt(values[kept])
    found: Matrix = (kernel.between(meaning, landmarks) @ root).astype(np.float32)
    return found


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


def _fill_cold(factors: Matrix, meaning: Matrix, warm: Mask) -> Matrix:
    """Returns item factors in which an item that nobody consumed has what its text predicts.

    Ridge regression from the warm items' texts to their factors; as ridge shrinks, what it predicts is brought to
    the warm items' mean length.

    Args:
        factors: Shape `(n_items, rank)`.
        meaning: Of the items' texts, shape `(n_items, text_dim)`.
        warm: Which items have users.
    """
    if warm.all() or not warm.any() or not factors.any():
        return factors
    known = meaning[warm].astype(np.float64)
    system = known.T @ known + _COLD_RIDGE * np.eye(known.shape[1])
    coefficients = np.linalg.solve(system, known.T @ factors[warm])
    predicted = meaning @ coefficients
    length = np.linalg.norm(factors[warm], axis=1).mean() / np.linalg.norm(predicted[warm], axis=1).mean()
    filled: Matrix = np.where(warm[:, None], factors, length * predicted).astype(np.float32)
    return filled


def _popularity_part(popularity: Vector) -> Matrix:
    """Returns standardised log popularity, shape `(n_items, 1)`; an item without users counts as an average one."""
    values = np.log1p(popularity)
    warm = popularity > 0
    if not warm.any() or values[warm].std() == 0:
        return np.zeros((len(values), 1), np.float32)
    standardised = np.where(warm, (values - values[warm].mean()) / values[warm].std(), 0)
    return standardised[:, None].astype(np.float32)


def _principal(meaning: Matrix) -> Matrix:
    """Returns the directions that keep most of the items' inner products, shape `(text_dim, d)`."""
    _, vectors = np.linalg.eigh(meaning.T.astype(np.float64) @ meaning)
    projection: Matrix = vectors[:, ::-1][:, :_ZERO_SHOT_DIM].astype(np.float32)
    return projection


def _decays(past: Interactions) -> tuple[float, ...]:
    """Returns what is tried: unordered rows know no step back."""
    return _DECAYS if past.times is not None else (1.0,)


def _alone(part: str) -> PartWeights:
    return PartWeights.model_validate({name: float(name == part) for name in PartWeights.model_fields})


def _draw(cases: Sequence[Case], n_items: int, seed: int) -> dict[Task, list[Case]]:
    """Returns as many cases of each task as memory allows."""
    limit = max(50, min(_MAX_CASES, _MAX_SCORES // n_items))
    drawn: dict[Task, list[Case]] = {}
    for task in TASKS:
        group = [case for case in cases if case.task == task]
        order = np.random.default_rng(seed).permutation(len(group))[:limit]
        if len(order):
            drawn[task] = [group[row] for row in np.sort(order)]
    return drawn
