"""Fitting every part of the matching on the past: zero-shot projection, behaviour, tower, popularity."""

from collections.abc import Callable

import numpy as np

from models.fused import Parts, UserSide
from models.item_side import ItemSide
from models.tower import TowerFacts
from models.training.features import Features
from models.training.interactions import Interactions
from models.training.l3ae import L3AE, factorise, history_matrix
from models.training.neighbours import fit_neighbours
from models.training.part_scores import FittedParts
from models.training.split import events_by_user
from models.training.text_kernel import TextKernel, nystroem
from models.training.tower import FittedTower, fit_tower
from models.training.tower_examples import Examples
from models.training.tower_module import TowerInputs, TowerTraining
from models.types import Matrix, Vector

_ZERO_SHOT_DIM, _BEHAVIOUR_RANK = 192, 384
_LANDMARKS = 1_024
_RIDGE = 1.0


def fit_parts(
    past: Interactions,
    features: Features,
    *,
    training: TowerTraining | None = None,
    device: str = "cpu",
    seed: int = 0,
    on_epoch: Callable[[FittedParts], bool] = lambda _: True,
) -> FittedParts:
    """Fits every part on the past alone.

    Args:
        past: What may be fitted on.
        features: Of items and texts.
        training: How the tower is fitted.
        device: Torch's word for where the tower is fitted.
        seed: Of every draw.
        on_epoch: Gets the parts after each epoch of the tower, and says whether there is to be another.
    """
    events = events_by_user(past)
    ordered = past.times is not None
    popularity = past.popularity(features.n_items)
    consumed = history_matrix([event.items for event in events.values()], features.n_items)
    meaning = features.item_meaning()
    phi = nystroem(TextKernel(features.embeddings.shape[1]), meaning, n_landmarks=_LANDMARKS, seed=seed)
    history_factors, behaviour = factorise(L3AE(consumed, phi, seed=seed), popularity, rank=_BEHAVIOUR_RANK, seed=seed)
    neighbours = fit_neighbours(consumed, seed=seed)
    axes = _principal(meaning)
    projection = axes[:, :_ZERO_SHOT_DIM]
    zero_shot = (meaning @ projection).astype(np.float32)
    facts = TowerFacts() if ordered else TowerFacts(decay=1.0, slope=0.0)
    facts = facts.model_copy(update={"dim": min(facts.dim, axes.shape[1] - axes.shape[1] % facts.heads)})
    standard = standard_popularity(popularity)

    def joined(fitted: FittedTower) -> FittedParts:
        side = UserSide(
            decay=1.0,
            projection=projection,
            history_factors=history_factors,
            tower=fitted.tower,
            zero_shot_items=zero_shot,
            tower_items=fitted.items,
            neighbours=neighbours,
        )
        items = Parts(zero_shot, behaviour, fitted.items, standard[:, None])
        item_side = ItemSide(
            projection, _from_text(meaning, behaviour), _from_text(meaning, history_factors), fitted.tower
        )
        return FittedParts(side, items, item_side, fitted.words, fitted.losses)

    inputs = TowerInputs(
        items=meaning,
        texts=features.text_vectors,
        item_terms=features.item_terms,
        text_terms=features.text_terms,
        projection=axes[:, : facts.dim],
        warm=popularity > 0,
        popularity=standard,
    )
    examples = Examples(
        users=tuple(events.values()),
        text_rows=features.text_rows,
        own_words=features.own_rows,
        n_items=features.n_items,
        ordered=ordered,
        longest=facts.longest,
    )
    return joined(
        fit_tower(
            inputs,
            examples,
            facts,
            training or TowerTraining(),
            device=device,
            seed=seed,
            on_epoch=lambda fitted: on_epoch(joined(fitted)),
        )
    )


def standard_popularity(popularity: Vector) -> Vector:
    """Returns standardised log popularity, shape `(n_items,)`; an item without users counts as an average one."""
    values = np.log1p(popularity)
    warm = popularity > 0
    if not warm.any() or values[warm].std() == 0:
        return np.zeros(len(values), np.float32)
    return np.where(warm, (values - values[warm].mean()) / values[warm].std(), 0).astype(np.float32)


def _principal(meaning: Matrix) -> Matrix:
    """Returns the directions that keep most of the items' inner products, best first, shape `(text_dim, text_dim)`."""
    _, vectors = np.linalg.eigh(meaning.T.astype(np.float64) @ meaning)
    return np.ascontiguousarray(vectors[:, ::-1], np.float32)


def _from_text(meaning: Matrix, factors: Matrix) -> Matrix:
    """Returns coefficients that predict factors from texts, shape `(text_dim, rank)`.

    Ridge regression; as ridge shrinks, what it predicts is brought to the factors' mean length.
    """
    known = meaning.astype(np.float64)
    system = known.T @ known + _RIDGE * np.eye(known.shape[1])
    coefficients = np.linalg.solve(system, known.T @ factors)
    length = np.linalg.norm(factors, axis=1).mean() / max(np.linalg.norm(known @ coefficients, axis=1).mean(), 1e-12)
    found: Matrix = (length * coefficients).astype(np.float32)
    return found
