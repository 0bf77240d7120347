"""Weights by likelihood: those under which a softmax of the parts' sum makes the targets likeliest.

Recall moves in steps, and a climb by it stops where one step after the other is lost in noise; the likelihood of the
same cases is smooth, and has one top: it is that of a conditional logit model (McFadden, "Conditional logit analysis of
qualitative choice behavior", 1974), concave in the weights.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.fused import PartWeights
from models.training.part_scores import PartScores
from models.types import Rows

# Four numbers need no more; each is read some 20 times.
_MAX_SCORES, _ENOUGH_CASES = 5_000_000, 200
_START = 0.5
# Scores are float32: finer differences are noise.
_PRECISION = {"ftol": 1e-7, "gtol": 1e-4}

Weights: TypeAlias = NDArray[np.float64]
"""Of the parts, shape `(n_parts,)`."""


def likeliest(scores: PartScores) -> PartWeights:
    """Returns the likeliest weights, none below 0, the largest 1.

    Args:
        scores: Of validation cases, as many of which are read as there is time for.
    """
    names = list(PartWeights.model_fields)
    likelihood = Likelihood(scores, names)
    start = _START * likelihood.says_anything  # what says nothing stays at 0
    bounds = [(0, None)] * len(names)
    found = minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_PRECISION).x
    largest = found.max() if found.max() > 0 else 1.0
    return PartWeights.model_validate(dict(zip(names, np.round(found / largest, 4).tolist(), strict=True)))


class Likelihood:
    """The targets' mean negative log likelihood among the items outside the history; a user's targets share one part.

    Args:
        scores: Of the cases.
        names: Of the parts.

    Attributes:
        says_anything: Of each part, whether any of its scores is not 0.
    """

    def __init__(self, scores: PartScores, names: list[str]) -> None:
        n_items = scores.part(names[0]).shape[1]
        step = math.ceil(len(scores.cases) * n_items / _MAX_SCORES)
        step = max(1, min(step, len(scores.cases) // _ENOUGH_CASES))
        scores = scores.some(slice(None, None, step))
        cases, parts = scores.cases, [scores.part(name) for name in names]
        self.says_anything = np.array([part.any() for part in parts])
        counts = [len(case.targets) for case in cases]
        shares = np.repeat(1 / np.array(counts, np.float64), counts)
        targets = _flat([case.targets for case in cases], n_items)
        self._found = np.array([shares @ part.reshape(-1)[targets] for part in parts]) / len(cases)
        self._n_cases = len(cases)
        self._blocks = [
            ([part[rows] for part in parts], _flat([case.history for case in cases[rows]], n_items))
            for rows in scores.blocks()
        ]

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        """Returns it and its gradient."""
        loss, expected = 0.0, np.zeros(len(weights))
        for parts, seen in self._blocks:
            total = np.zeros(parts[0].shape, np.float32)
            for weight, part in zip(weights, parts, strict=True):
                total += np.float32(weight) * part
            total.reshape(-1)[seen] = -np.inf
            largest = total.max(axis=1, keepdims=True)
            share = np.exp(total - largest, out=total)
            sums = share.sum(axis=1, dtype=np.float64)
            loss += float(np.sum(largest[:, 0] + np.log(sums)))
            expected += [np.sum(np.einsum("ij,ij->i", share, part) / sums) for part in parts]
        return loss / self._n_cases - float(weights @ self._found), expected / self._n_cases - self._found


def _flat(rows: Sequence[Rows], n_items: int) -> Rows:
    """Returns places in the scores of all cases, one behind the other."""
    return np.concatenate([case * n_items + own for case, own in enumerate(rows)])
