"""Fitting the matching, top to bottom: parts on the past, recipe chosen on validation, parts again on everything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.errors import DataError
from models.fused import SituationWeights
from models.learnt import Learnt
from models.relation_head import FeatureHead
from models.training.behaviour import BehaviourFit
from models.training.features import Features
from models.training.fit_parts import PartsFit
from models.training.freshness import FRESHNESS
from models.training.head import fit_head
from models.training.interactions import Interactions
from models.training.part_scores import FittedParts, PartScores
from models.training.popularity import TREND
from models.training.situations import queries_of
from models.training.split import TASKS, Case, Split, Task, draw, split
from models.training.tower_module import TowerTraining
from models.training.unseen_pools import unseen_pools
from models.training.weigh import alone, best_decay, weigh, weigh_freshness, weigh_trend
from models.types import JsonValue

_LATE = 0.75  # of all epochs: by then the learning rate is nearly down
# A tower whose learning rate comes down is at its best some epochs after one that is stopped at a high rate.
_MORE = 2
_PATIENCE = 3  # epochs that may pass without a better one
_DECAYS = (0.6, 0.7, 0.8, 0.9, 1.0)
_MAX_CASES = 2_000
_MAX_HEAD_CASES = 8_000
# Scores of the cases by part, float32: what the search holds at once.
_MAX_SCORES = 40_000_000

Say = Callable[[str], None]
"""Takes a line on what is being done: a large table takes a while."""


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is chosen on validation.

    Attributes:
        decay: What a step back in texts or history multiplies a weight by.
        weights: Of the parts, by situation.
        training: How the tower is fitted.
        behaviour: How the behaviour part is fitted.
        freshness: How much the age of items counts beside their popularity.
        trend: What share of the past counts as lately, where popularity lately counts beside that of all time.
        head: What re-scores the pool; None where it isn't better than the pool's own order.
        figures: Validation recall by situation: the product's, that of text similarity and of popularity; loss
            curves; the head's before and after.
    """

    decay: float
    weights: SituationWeights
    training: TowerTraining
    behaviour: BehaviourFit
    freshness: float
    trend: float
    head: FeatureHead | None
    figures: dict[str, JsonValue]


def fit(
    interactions: Interactions,
    features: Features,
    *,
    popularity: float = 0.0,
    device: str = "cpu",
    seed: int = 0,
    say: Say = _silent,
) -> tuple[FittedParts, Recipe]:
    """Chooses the recipe on a validation split, then fits the parts on everything.

    Args:
        interactions: Everything that is known.
        features: Of items and texts.
        popularity: Added to the weight of popularity that is chosen.
        device: Torch's word for where the tower is fitted.
        seed: Of splits, draws and fits.
        say: Told what is being done.

    Raises:
        DataError: The interactions leave nothing to validate on.
    """
    held_out = split(interactions, seed=seed)
    recipe = choose(held_out, features, popularity=popularity, device=device, seed=seed, say=say)
    say(f"all {len(interactions)} interactions")
    parts_fit = PartsFit(interactions, features, behaviour=recipe.behaviour, seed=seed)
    training = recipe.training
    parts = parts_fit.fit(training=training, device=device, on_epoch=_Told(say, training.epochs).keep)
    return parts.with_freshness(recipe.freshness).with_trend(recipe.trend), recipe


def choose(
    held_out: Split,
    features: Features,
    *,
    popularity: float = 0.0,
    device: str = "cpu",
    seed: int = 0,
    say: Say = _silent,
) -> Recipe:
    """Returns the epochs, the decay and the weights with the best validation recall.

    Args:
        held_out: The past to fit on and the cases to judge by.
        features: Of items and texts.
        popularity: Added to the weight of popularity that is chosen; what is measured is measured with it.
        device: Torch's word for where the tower is fitted.
        seed: Of fits and of the cases drawn.
        say: Told what is being done.

    Raises:
        DataError: Nothing is known of any case's user.
    """
    known = [case for case in held_out.cases if len(case.history) or features.rows_of(case.texts)]
    if not known:
        raise DataError(
            f"of none of the {len(held_out.cases)} users of the newest events is anything known from before"
        )
    by_task = _draw(known, max(50, min(_MAX_CASES, _MAX_SCORES // features.n_items)), seed)
    counts = " and ".join(f"{len(cases)} by {task}" for task, cases in by_task.items())
    say(f"{len(held_out.past)} interactions, validated on users who are known {counts}")
    parts_fit = PartsFit(held_out.past, features, cases=by_task.get("history", ()), seed=seed)
    epochs = _Epochs(by_task, features, _Told(say, parts_fit.training.epochs))
    parts_fit.fit(device=device, on_epoch=epochs.keep)
    parts, training = epochs.best, replace(parts_fit.training, epochs=epochs.n_best)
    if epochs.n_best < _LATE * parts_fit.training.epochs:  # before the learning rate was down
        training = replace(training, epochs=epochs.n_best + _MORE)
        parts = parts_fit.fit(training=training, device=device, on_epoch=_Told(say, training.epochs).keep)
    say("weights")
    decays = _decays(held_out.past)
    middle = decays[len(decays) // 2]
    freshness = weigh_freshness(parts, by_task, features, middle)
    parts = parts.with_freshness(freshness)
    trend = weigh_trend(parts, by_task, features, middle)
    parts = parts.with_trend(trend)
    decay = best_decay(parts, by_task, features, decays)
    weighed = weigh(parts, by_task, features, decay, popularity=popularity)
    figures = dict(weighed.figures)
    if parts.freshness is not None:
        figures[FRESHNESS] = freshness
    if parts.trends:
        figures[TREND] = trend
    figures["behaviour"] = parts_fit.behaviour.facts
    figures["tower"] = {"loss": list(epochs.losses), "recall": list(epochs.recalls)}
    judged = [case for group in _draw(known, _MAX_HEAD_CASES, seed).values() for case in group]
    judged += queries_of(features)
    say(f"the relation head, on {len(judged)} cases")
    head, figures["head"] = fit_head(unseen_pools(parts, weighed, judged, features, decay), seed=seed)
    return Recipe(decay, weighed.chosen, training, parts_fit.behaviour, freshness, trend, head, figures)


def learnt_of(parts: FittedParts, recipe: Recipe, features: Features) -> Learnt:
    """Returns what goes into the artifact."""
    return Learnt(
        matching=parts.matching(recipe.decay, recipe.weights),
        item_side=parts.item_side,
        item_vectors=parts.items.joined(),
        lexicon=replace(features.lexicon, words=parts.words),
    )


class _Told:
    """Tells of each epoch."""

    def __init__(self, say: Say, n_epochs: int) -> None:
        self._say, self._n_epochs, self._n_done = say, n_epochs, 0

    def keep(self, _: FittedParts) -> bool:
        """Tells that an epoch is done; there may always be another."""
        self._n_done += 1
        self._say(f"tower, epoch {self._n_done} of at most {self._n_epochs}")
        return True


class _Epochs:
    """Keeps the parts of the epoch whose tower alone has the best mean validation recall over cutoffs and tasks.

    Of equally good epochs the last: the learning rate has come down.
    """

    def __init__(self, by_task: dict[Task, list[Case]], features: Features, told: _Told) -> None:
        self._by_task, self._features, self._told = by_task, features, told
        self._best: FittedParts | None = None
        self.recalls: list[float] = []
        self.losses: tuple[float, ...] = ()

    @property
    def best(self) -> FittedParts:
        """The best epoch's parts."""
        assert self._best is not None
        return self._best

    @property
    def n_best(self) -> int:
        """Epochs that the best parts took."""
        return len(self.recalls) - int(np.argmax(self.recalls[::-1]))

    def keep(self, parts: FittedParts) -> bool:
        """Judges the parts after an epoch, and returns whether the next one may be better."""
        self._told.keep(parts)
        recall = self._judged(parts)
        if not self.recalls or recall >= max(self.recalls):
            self._best = parts
        self.recalls.append(recall)
        self.losses = parts.losses
        return len(self.recalls) - self.n_best < _PATIENCE

    def _judged(self, parts: FittedParts) -> float:
        tower = alone("tower")
        by_task = [
            PartScores(parts, cases, self._features, 1.0, only="tower").recall(tower)
            for cases in self._by_task.values()
        ]
        return round(float(np.mean(by_task)), 4)


def _decays(past: Interactions) -> tuple[float, ...]:
    """Returns what is tried: unordered rows know no step back."""
    return _DECAYS if past.times is not None else (1.0,)


def _draw(cases: Sequence[Case], limit: int, seed: int) -> dict[Task, list[Case]]:
    """Returns at most so many cases of each task that has any."""
    drawn = {task: draw(cases, task, limit, seed) for task in TASKS}
    return {task: group for task, group in drawn.items() if group}
