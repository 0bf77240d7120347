"""Users who wrote alike, and what they consumed: for texts what `models.neighbours` is for items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.neighbours import Places
from models.types import Matrix, Rows, Vector

NEAREST = 100
# How much the nearer count for more: cosine ** power, of so many nearest. The baseline's best power is 8.
VIEWS = ((8, NEAREST), (16, 50))


@dataclass(frozen=True, slots=True, eq=False)
class UserTextNeighbours:
    """What users wrote and consumed.

    Attributes:
        texts: What each wrote, as unit rows on the first axes of the zero-shot part, shape `(n_users, d)`.
        starts: Where each user's items begin and the last one's end, shape `(n_users + 1,)`.
        items: Rows of consumed items, one user after the other.
    """

    texts: Matrix
    starts: NDArray[np.int64]
    items: NDArray[np.int32]

    def nearest(self, texts: Matrix) -> "Alike":
        """Returns the users who wrote most alike; nobody where nobody did, or nothing is asked.

        Args:
            texts: Zero-shot parts of somebody's texts, shape `(t, d₀)`, d₀ at least d.
        """
        asked = texts[:, : self.texts.shape[1]].sum(axis=0)
        norm = float(np.linalg.norm(asked))
        if not len(self.texts) or norm == 0:
            return Alike(np.empty(0, np.int64), np.empty((len(VIEWS), 0), np.float32), self)
        unit = (asked / norm).astype(np.float32)
        cosines = self.texts @ unit
        some = np.argpartition(-cosines, NEAREST)[:NEAREST] if len(cosines) > NEAREST else np.arange(len(cosines))
        best = some[np.argsort(-cosines[some], kind="stable")]
        best = best[cosines[best] > 0]
        return Alike(best, _weights(cosines[best]), self)


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """The users whose texts are most like somebody's, the nearest first.

    Attributes:
        users: Their positions among those who wrote, shape `(m,)`.
        weights: What each counts, in two views that sum up to 1, shape `(2, m)`.
        among: All who wrote.
    """

    users: Rows
    weights: Matrix
    among: UserTextNeighbours

    def shares(self, candidates: Places) -> Matrix:
        """Returns how much of these users' weight is on those who consumed each candidate, `(2, n_candidates)`."""
        found = np.zeros((len(VIEWS), candidates.n), np.float32)
        begins = self.among.starts[self.users]
        lengths = self.among.starts[self.users + 1] - begins
        ends = lengths.cumsum()
        if not len(ends) or not ends[-1]:
            return found
        # Where each of their items is: its number, shifted by its user's start.
        rows = self.among.items[np.arange(ends[-1]) + np.repeat(begins - (ends - lengths), lengths)]
        place = candidates.of(rows)
        known = place >= 0
        place, user = place[known], np.repeat(np.arange(len(lengths)), lengths)[known]
        for view, weights in enumerate(self.weights):
            found[view] = np.bincount(place, weights=weights[user], minlength=candidates.n)
        return found


def _weights(cosines: Vector) -> Matrix:
    """Returns what users of falling cosines above 0 count in each view."""
    weights = np.zeros((len(VIEWS), len(cosines)), np.float32)
    for view, (power, nearest) in enumerate(VIEWS):
        weights[view, :nearest] = cosines[:nearest] ** power
    shares: Matrix = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30)
    return shares


def nobody_wrote() -> UserTextNeighbours:
    """Returns the neighbours of a past without texts."""
    return UserTextNeighbours(np.empty((0, 0), np.float32), np.zeros(1, np.int64), np.empty(0, np.int32))
