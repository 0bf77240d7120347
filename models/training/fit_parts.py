"""Fitting every part of the matching on the past: zero-shot projection, behaviour, tower, popularity."""

from collections.abc import Callable, Sequence

import numpy as np

from models.fused import Parts, UserSide
from models.item_side import ItemSide
from models.tower import TowerFacts
from models.training.behaviour import BehaviourFit, fit_by_validation
from models.training.features import Features
from models.training.freshness import fit_freshness
from models.training.interactions import Interactions
from models.training.l3ae import factorise, history_matrix
from models.training.neighbours import fit_neighbours
from models.training.part_scores import FittedParts
from models.training.popularity import fit_trends, standard_popularity
from models.training.split import Case, events_by_user
from models.training.text_kernel import TextKernel, nystroem
from models.training.tower import FittedTower, fit_tower
from models.training.tower_examples import Examples
from models.training.tower_inputs import TowerInputs
from models.training.tower_module import TowerTraining
from models.training.user_text_neighbours import fit_user_text_neighbours
from models.types import Matrix, Vector

_ZERO_SHOT_DIM, _BEHAVIOUR_RANK = 192, 384
_TOWER = TowerFacts(dim=128, members=2, hops=1)
_LANDMARKS = 1_024
# What a step back may count, where rows have an order, while it is chosen how the behaviour part is fitted.
_DECAYS = (0.8, 1.0)
# Where one pass over the users scores fewer pairs of question and item, it takes seconds, and a tower may take more
# passes: of few users it still learns in the tenth. So few that validation is noise are not worth them.
_QUICK, _ENOUGH_USERS = 100_000_000, 500
_EPOCHS, _QUICK_EPOCHS = 10, 20
_RIDGE = 1.0
# 0 leaves texts' similarity as it is, 1 whitens it.
_EVENNESS = 0.3
# Of the loudest direction's: in a small catalogue there are directions that no item has, but items to come do.
_LEAST_SPREAD = 1e-3


class PartsFit:
    """Fits every part on the past alone: what has a closed form once, a tower whenever one is asked for.

    Args:
        past: What may be fitted on.
        features: Of items and texts.
        behaviour: How the behaviour part is fitted; None: `cases` choose it.
        cases: Of what came after the past.
        seed: Of every draw.

    Attributes:
        behaviour: How the behaviour part is fitted.
    """

    def __init__(
        self,
        past: Interactions,
        features: Features,
        *,
        behaviour: BehaviourFit | None = None,
        cases: Sequence[Case] = (),
        seed: int = 0,
    ) -> None:
        events = tuple(events_by_user(past).values())
        popularity = past.popularity(features.n_items)
        histories = [event.items for event in events]
        meaning = features.item_meaning()
        phi = nystroem(TextKernel(features.embeddings.shape[1]), meaning, n_landmarks=_LANDMARKS, seed=seed)
        if behaviour is None:
            decays = _DECAYS if past.times is not None else (1.0,)
            behaviour, fitted = fit_by_validation(histories, phi, cases, decays=decays, seed=seed)
        else:
            fitted = behaviour.on(histories, phi, seed=seed)
        self.behaviour = behaviour
        self._history, self._behaviour = factorise(fitted, popularity, rank=_BEHAVIOUR_RANK, seed=seed)
        self._neighbours = fit_neighbours(history_matrix(histories, features.n_items), seed=seed)
        self._freshness = fit_freshness(features.item_times, past)
        self._trends = fit_trends(past, features.n_items)
        axes, spread = _principal(meaning)
        self._projection = (axes * _evening(spread))[:, :_ZERO_SHOT_DIM]
        self._text_neighbours = fit_user_text_neighbours(events, features, self._projection, seed=seed)
        self._zero_shot = (meaning @ self._projection).astype(np.float32)
        self._from_text = _from_text(meaning, self._behaviour), _from_text(meaning, self._history)
        self._facts, self._seed = _tower_facts(axes.shape[1], ordered=past.times is not None), seed
        self._inputs = TowerInputs(
            items=meaning,
            texts=features.text_vectors,
            item_terms=features.item_terms,
            text_terms=features.text_terms,
            projection=axes[:, : self._facts.dim],
            warm=popularity > 0,
            popularity=standard_popularity(popularity),
        )
        self._examples = Examples(
            users=events,
            text_rows=features.text_rows,
            own_words=features.own_rows,
            n_items=features.n_items,
            ordered=past.times is not None,
            longest=self._facts.longest,
        )

    @property
    def training(self) -> TowerTraining:
        """How a tower is fitted unless something else is said."""
        quick = self._examples.n_scores < _QUICK and len(self._examples.users) >= _ENOUGH_USERS
        return TowerTraining(epochs=_QUICK_EPOCHS if quick else _EPOCHS)

    def fit(
        self,
        *,
        training: TowerTraining | None = None,
        device: str = "cpu",
        on_epoch: Callable[[FittedParts], bool] = lambda _: True,
    ) -> FittedParts:
        """Returns all parts, with a tower that is fitted now.

        Args:
            training: How.
            device: Torch's word for where.
            on_epoch: Gets the parts after each epoch, and says whether there is to be another.
        """
        fitted = fit_tower(
            self._inputs,
            self._examples,
            self._facts,
            training or self.training,
            device=device,
            seed=self._seed,
            on_epoch=lambda so_far: on_epoch(self._joined(so_far)),
        )
        return self._joined(fitted)

    def _joined(self, fitted: FittedTower) -> FittedParts:
        side = UserSide(
            decay=1.0,
            projection=self._projection,
            history_factors=self._history,
            tower=fitted.tower,
            zero_shot_items=self._zero_shot,
            tower_items=fitted.items,
            neighbours=self._neighbours,
            text_neighbours=self._text_neighbours,
        )
        items = Parts(self._zero_shot, self._behaviour, fitted.items, self._inputs.popularity[:, None])
        item_side = ItemSide(self._projection, *self._from_text, fitted.tower)
        return FittedParts(side, items, item_side, fitted.words, fitted.losses, self._freshness, self._trends)


def fit_parts(
    past: Interactions,
    features: Features,
    *,
    training: TowerTraining | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> FittedParts:
    """Returns every part, fitted on the past alone.

    Args:
        past: What may be fitted on.
        features: Of items and texts.
        training: How the tower is fitted.
        device: Torch's word for where the tower is fitted.
        seed: Of every draw.
    """
    return PartsFit(past, features, seed=seed).fit(training=training, device=device)


def _tower_facts(text_dim: int, *, ordered: bool) -> TowerFacts:
    """Returns the tower's shape: no wider than the texts, and without steps back where rows are unordered."""
    facts = _TOWER.model_copy(update={"dim": min(_TOWER.dim, text_dim - text_dim % _TOWER.heads)})
    return facts if ordered else facts.model_copy(update={"decay": 1.0, "slope": 0.0})


def _principal(meaning: Matrix) -> tuple[Matrix, Vector]:
    """Returns the directions that keep most of the items' inner products, best first, and how much of them each keeps.

    Their shapes are `(text_dim, text_dim)` and `(text_dim,)`.
    """
    values, vectors = np.linalg.eigh(meaning.T.astype(np.float64) @ meaning)
    return np.ascontiguousarray(vectors[:, ::-1], np.float32), values[::-1].astype(np.float32)


def _evening(spread: Vector) -> Vector:
    """Returns by what each direction is multiplied so that loud ones, in which most items are alike, count less."""
    loudest = max(float(spread.max()), 1e-12)
    found: Vector = np.maximum(spread / loudest, _LEAST_SPREAD) ** np.float32(-_EVENNESS / 2)
    return found


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
