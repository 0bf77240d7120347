"""How the behaviour part is fitted: how strongly it is held, and how far back it reads. Validation says.

The more a catalogue is consumed, the more strongly the part is to be held. And where users consume much, what they did
long ago says what goes with what in some catalogues, and only what went with what in others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.training.gains import is_gain
from models.training.judge import mean_recalls
from models.training.l3ae import L3AE, Regularisation, history_matrix
from models.training.metrics import PerUser
from models.training.split import Case
from models.types import JsonValue, Matrix, Rows

_STRONGER = (400.0, 800.0, 1_600.0)  # λ_X and λ_E alike, one after the other while each gains
_FAR_BACK = 1_000_000
_MUCH = 0.1  # of all that is consumed lies further back
_MAX_CASES = 600
_LEAST_CASES = 30
_BLOCK = 200  # cases scored at once


@dataclass(frozen=True, slots=True)
class BehaviourFit:
    """How the behaviour part is fitted.

    Attributes:
        held: How strongly it is held.
        longest: Newest items of each user that it is fitted on.
    """

    held: Regularisation = field(default_factory=Regularisation)
    longest: int = 50

    @property
    def facts(self) -> dict[str, JsonValue]:
        """How strongly, and from how many of each user's newest items, for the manifest; None: from all."""
        held, is_far_back = self.held, self.longest == _FAR_BACK
        return {"ridge": held.ridge, "prior": held.prior, "newest": None if is_far_back else self.longest}

    def on(self, histories: Sequence[Rows], features: Matrix, *, seed: int = 0) -> L3AE:
        """Returns it fitted.

        Args:
            histories: Rows of the items that users consumed, oldest first.
            features: Φ, shape `(n, f)`.
            seed: Of users drawn.
        """
        consumed = history_matrix(histories, len(features), longest=self.longest)
        return L3AE(consumed, features, held=self.held, seed=seed)


def fit_by_validation(
    histories: Sequence[Rows], features: Matrix, cases: Sequence[Case], *, decays: Sequence[float], seed: int = 0
) -> tuple[BehaviourFit, L3AE]:
    """Returns how to fit it, other than it ships where that raises validation recall beyond noise, and it fitted so.

    Args:
        histories: Rows of the items that users consumed before the cases, oldest first.
        features: Φ, shape `(n, f)`.
        cases: To judge by; those without a history say nothing.
        decays: What a step back in a case's history may multiply a weight by.
        seed: Of users and cases drawn.
    """
    asked = _drawn(cases, seed)
    if len(asked) < _LEAST_CASES:
        return BehaviourFit(), BehaviourFit().on(histories, features, seed=seed)

    def tried(fit: BehaviourFit) -> tuple[L3AE, PerUser]:
        model = fit.on(histories, features, seed=seed)
        return model, _recall(model, asked, decays)

    def climb(fits: Iterator[BehaviourFit]) -> tuple[BehaviourFit, L3AE, PerUser]:
        best = next(fits)
        model, recall = tried(best)
        for fit in fits:
            stronger, found = tried(fit)
            if not is_gain(found - recall):
                break
            best, model, recall = fit, stronger, found
        return best, model, recall

    best, model, recall = climb(_stronger(BehaviourFit()))
    if _share_beyond(histories, len(features), best.longest) > _MUCH:
        del model  # each may take a gigabyte
        far_back, model, found = climb(_stronger(replace(best, longest=_FAR_BACK)))
        if is_gain(found - recall):
            return far_back, model
        del model
        model = best.on(histories, features, seed=seed)
    return best, model


def _stronger(fit: BehaviourFit) -> Iterator[BehaviourFit]:
    """Yields the fit, then others that hold more and more strongly."""
    yield fit
    for strength in _STRONGER:
        if strength > fit.held.ridge:
            yield replace(fit, held=Regularisation(ridge=strength, prior=strength))


def _share_beyond(histories: Sequence[Rows], n_items: int, longest: int) -> float:
    """Returns what share of all that users consumed stands further back alone."""
    every = history_matrix(histories, n_items, longest=_FAR_BACK).nnz
    return float((every - history_matrix(histories, n_items, longest=longest).nnz) / max(every, 1))


def _drawn(cases: Sequence[Case], seed: int) -> list[Case]:
    known = [case for case in cases if len(case.history)]
    order = np.random.default_rng(seed).permutation(len(known))[:_MAX_CASES]
    return [known[row] for row in np.sort(order)]


def _recall(model: L3AE, cases: Sequence[Case], decays: Sequence[float]) -> PerUser:
    """Returns each case's mean recall over cutoffs by the whole matrix and the best decay, shape `(n_cases,)`."""
    return max((_recall_by(model, cases, decay) for decay in decays), key=np.mean)


def _recall_by(model: L3AE, cases: Sequence[Case], decay: float) -> PerUser:
    found = []
    for start in range(0, len(cases), _BLOCK):
        block = cases[start : start + _BLOCK]
        histories = history_matrix([case.history for case in block], model.n_items, decay=decay, longest=_FAR_BACK)
        scores = np.ascontiguousarray(model.transposed_times(histories.T.toarray()).T)
        found.append(mean_recalls(scores, block))
    return np.concatenate(found)
