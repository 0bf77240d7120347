"""How strongly the behaviour part is held: the more a catalogue is consumed, the more it takes. Validation says."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix

from models.training.gains import is_gain
from models.training.judge import mean_recalls
from models.training.l3ae import L3AE, Regularisation, history_matrix
from models.training.metrics import PerUser
from models.training.split import Case
from models.types import Matrix

_STRONGER = (400.0, 800.0, 1_600.0)  # λ_X and λ_E alike, one after the other while each gains
_MAX_CASES = 600
_DECAY = 0.8
_LEAST_CASES = 30


def held_by_validation(interactions: csr_matrix, features: Matrix, cases: Sequence[Case], *, seed: int = 0) -> L3AE:
    """Returns L3AE held as it ships, or more strongly where that raises validation recall beyond noise.

    Args:
        interactions: X of what was before the cases, shape `(n_users, n)`.
        features: Φ, shape `(n, f)`.
        cases: To judge by; those without a history say nothing.
        seed: Of users and cases drawn.
    """
    best = L3AE(interactions, features, seed=seed)
    asked = _drawn(cases, seed)
    if len(asked) < _LEAST_CASES:
        return best
    recall = _recall(best, asked)
    for held in _stronger():
        tried = L3AE(interactions, features, held=held, seed=seed)
        found = _recall(tried, asked)
        if not is_gain(found - recall):
            break
        best, recall = tried, found
    return best


def _stronger() -> Iterator[Regularisation]:
    return (Regularisation(ridge=strength, prior=strength) for strength in _STRONGER)


def _drawn(cases: Sequence[Case], seed: int) -> list[Case]:
    known = [case for case in cases if len(case.history)]
    order = np.random.default_rng(seed).permutation(len(known))[:_MAX_CASES]
    return [known[row] for row in np.sort(order)]


def _recall(model: L3AE, cases: Sequence[Case]) -> PerUser:
    """Returns each case's mean recall over cutoffs by the whole matrix, shape `(n_cases,)`."""
    histories = history_matrix([case.history for case in cases], model.n_items, decay=_DECAY)
    scores = np.ascontiguousarray(model.transposed_times(histories.T.toarray()).T)
    return mean_recalls(scores, cases)
