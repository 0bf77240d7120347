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
from models.types import Matrix, Rows

_STRONGER = (400.0, 800.0, 1_600.0)  # λ_X and λ_E alike, one after the other while each gains
_FAR_BACK = 1_000_000
_MUCH = 0.1  # of all that is consumed lies further back
_MAX_CASES = 600
_LEAST_CASES = 30


@dataclass(frozen=True, slots=True)
class BehaviourFit:
    """How the behaviour part is fitted.

    Attributes:
        held: How strongly it is held.
        longest: Newest items of each user that it is fitted on.
    """

    held: Regularisation = field(default_factory=Regularisation)
    longest: int = 50

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

    def climb(fits: Iterator[BehaviourFit]) -> tuple[BehaviourFit, L3AE, PerUser]:
        best = tried(next(fits))
        for fit in fits:
            if not is_gain((found := tried(fit))[2] - best[2]):
                break
            best = found
        return best

    def tried(fit: BehaviourFit) -> tuple[BehaviourFit, L3AE, PerUser]:
        model = fit.on(histories, features, seed=seed)
        return fit, model, _recall(model, asked, decays)

    best = climb(_stronger(BehaviourFit()))
    if _share_beyond(histories, best[0].longest) > _MUCH:
        far_back = climb(_stronger(replace(best[0], longest=_FAR_BACK)))
        best = far_back if is_gain(far_back[2] - best[2]) else best
    return best[:2]


def _stronger(fit: BehaviourFit) -> Iterator[BehaviourFit]:
    """Yields the fit, then others that hold more and more strongly."""
    yield fit
    for strength in _STRONGER:
        if strength > fit.held.ridge:
            yield replace(fit, held=Regularisation(ridge=strength, prior=strength))


def _share_beyond(histories: Sequence[Rows], longest: int) -> float:
    """Returns what share of all that is consumed stands further back in its user's history."""
    lengths = np.array([len(set(history.tolist())) for history in histories])
    return float(np.maximum(lengths - longest, 0).sum() / max(lengths.sum(), 1))


def _drawn(cases: Sequence[Case], seed: int) -> list[Case]:
    known = [case for case in cases if len(case.history)]
    order = np.random.default_rng(seed).permutation(len(known))[:_MAX_CASES]
    return [known[row] for row in np.sort(order)]


def _recall(model: L3AE, cases: Sequence[Case], decays: Sequence[float]) -> PerUser:
    """Returns each case's mean recall over cutoffs by the whole matrix and the best decay, shape `(n_cases,)`."""
    return max((_recall_by(model, cases, decay) for decay in decays), key=np.mean)


def _recall_by(model: L3AE, cases: Sequence[Case], decay: float) -> PerUser:
    histories = history_matrix([case.history for case in cases], model.n_items, decay=decay, longest=_FAR_BACK)
    scores = np.ascontiguousarray(model.transposed_times(histories.T.toarray()).T)
    return mean_recalls(scores, cases)
