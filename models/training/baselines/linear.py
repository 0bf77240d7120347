"""Item-item models in closed form: EASE (Steck 2019), and the product's own behaviour part alone."""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import inv

from models.training.baselines.base import Kind, Scores, Setting, case_histories, consumed
from models.training.encodings import Encodings
from models.training.interactions import Interactions
from models.training.l3ae import L3AE, Regularisation
from models.training.split import Case, Task
from models.types import Matrix

# The (items, items) matrix of float32 takes 0.9 GB at this many.
_MAX_ITEMS = 15_000


class Ease:
    """B = I - P·diag(1/diag(P)), P = (XᵀX + λI)⁻¹; scores are histories times B."""

    name = "EASE"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset({"history"})
    settings: Sequence[Setting] = tuple({"ridge": ridge} for ridge in (50, 200, 600, 2_000))
    decays: tuple[float, ...] = (1.0, 0.8, 0.6)

    def fits(self, past: Interactions) -> bool:
        """Returns True."""
        return True

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns histories times B."""
        x = consumed(past, encodings.n_items)
        if encodings.n_items > min(_MAX_ITEMS, x.shape[0]):  # the smaller of the two inverses: (users, users)
            nothing = np.empty((encodings.n_items, 0), np.float32)
            held = Regularisation(ridge=setting["ridge"], prior=0)
            return _times(L3AE(x, nothing, held=held, seed=seed), encodings.n_items)
        gram = (x.T @ x).toarray().astype(np.float32)
        gram[np.diag_indices_from(gram)] += setting["ridge"]
        p = inv(gram, overwrite_a=True, check_finite=False, assume_a="pos")
        weights = (-p / np.diag(p)).astype(np.float32)
        np.fill_diagonal(weights, 0)
        return lambda cases, decay: case_histories(cases, encodings.n_items, decay) @ weights


class PlainL3ae:
    """The text-regularised EASE of `models.training.l3ae` over the items' embeddings, unfactorised."""

    name = "plain L3AE"
    kind: Kind = "part"
    tasks: frozenset[Task] = frozenset({"history"})
    settings: Sequence[Setting] = tuple({"prior": prior} for prior in (50, 200, 800))
    decays: tuple[float, ...] = (1.0, 0.8, 0.7, 0.6)

    def fits(self, past: Interactions) -> bool:
        """Returns True."""
        return True

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns histories times B."""
        held = Regularisation(prior=setting["prior"])
        model = L3AE(consumed(past, encodings.n_items), encodings.items, held=held, seed=seed)
        return _times(model, encodings.n_items)


def _times(model: L3AE, n_items: int) -> Scores:
    def compute(cases: Sequence[Case], decay: float) -> Matrix:
        histories = case_histories(cases, n_items, decay).toarray()
        scores: Matrix = model.transposed_times(np.ascontiguousarray(histories.T)).T
        return scores

    return compute
