"""User vector → pool → exclusions → head → k, once, for the service, the evaluation and the gate alike.

Works on vectors and rows; knows no text, no item ids, no HTTP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from models.artifact import Artifact
from models.fused import Asked, KnownUser
from models.matching import DecayedMean, UserEmbeddings
from models.native.find import Find
from models.native.matching import Asking, NativeMatching
from models.native.rescore import NativeHead, feature_scorer
from models.native.threads import Job
from models.relation_head import FeatureHead, falling
from models.types import Mask, Matrix, Rows, Vector

Fallback = Literal["popular", "centre"]

_POOL_FACTOR, _POOL_MIN, _POOL_MAX = 5, 200, 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Sought:
    """What texts and history became: what the index is searched with.

    Attributes:
        vector: The user vector, shape `(D,)`.
        asked: What a learnt matching made of the user.
    """

    vector: Vector
    asked: Asked | None


@dataclass(frozen=True, slots=True)
class UserQuery:
    """One request, encoded; oldest first in texts and history.

    Attributes:
        texts: Vectors of the user's texts, shape `(t, dim)`; with a lexicon [embedding ; lexical vector].
        history: Rows of the consumed items, shape `(h,)`.
        weights: Weight of each, shape `(h,)`.
        excluded: Rows that must not be returned, shape `(e,)`.
        k: How many candidates.
        sought: What texts and history became before; where it is given, neither is looked at.
    """

    texts: Matrix
    history: Rows
    weights: Vector
    excluded: Rows
    k: int
    sought: Sought | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """What the index hands to the head, best first.

    Attributes:
        user_vector: Shape `(dim,)`; None where popularity chose the pool.
        rows: Shape `(n,)`.
        recall_scores: Shape `(n,)`.
        fallback: What stood in for a user of whom nothing is known.
        asked: What a learnt matching made of the user.
    """

    user_vector: Vector | None
    rows: Rows
    recall_scores: Vector
    fallback: Fallback | None
    asked: Asked | None = None

    @property
    def sought(self) -> Sought | None:
        """What it was searched with; None where nothing is known of the user."""
        return None if self.user_vector is None or self.fallback else Sought(self.user_vector, self.asked)


@dataclass(frozen=True, slots=True)
class Recalled:
    """Candidates, best first, as parallel arrays of shape `(k,)`.

    Attributes:
        rows: The items.
        scores: What the order follows.
        recall_scores: Inner products from the index.
        relation_scores: The head's output; None where it didn't act.
        fallback: What stood in for a user of whom nothing is known.
    """

    rows: Rows
    scores: Vector
    recall_scores: Vector
    relation_scores: Vector | None
    fallback: Fallback | None


@dataclass(frozen=True, slots=True, eq=False)
class RecallJob:
    """A recall that the library's threads do.

    Attributes:
        find: What they are given.
        user: What is searched with, or becomes it.
        k: How many candidates.
        otherwise: Recalls where nothing turns out to be known of the user.
    """

    find: Find
    user: Sought | Asking
    k: int
    otherwise: Callable[[], Recalled]

    @property
    def job(self) -> Job:
        """What the threads are given."""
        return self.find.job

    @property
    def sought(self) -> Sought | None:
        """What was searched with, once they have; None where nothing is known of the user."""
        if isinstance(self.user, Sought):
            return self.user
        asked = self.user.result()
        return None if asked is None else Sought(asked.vector, asked)

    def run(self) -> Recalled | None:
        """Does it in this thread; returns what was found, or None where the deadline has passed."""
        self.find.run()
        return self.result()

    def result(self) -> Recalled | None:
        """Returns what they found; None where the deadline had passed when they came to it."""
        if self.find.is_late:
            return None
        if self.find.is_of_nobody:
            return self.otherwise()
        rows, scores = self.find.pool
        if (rescored := self.find.rescored) is None:
            return first(Pool(None, rows, scores, None), self.k)
        relation, order = rescored
        best = order[: self.k]
        return Recalled(rows[best], relation[best], scores[best], relation[best], None)


class Recaller:
    """Finds candidates in one artifact."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._matching = artifact.manifest.matching
        self._by_popularity = _popularity_order(artifact.popularity)
        self._score_features = feature_scorer(artifact.head) if isinstance(artifact.head, FeatureHead) else None
        self._centre = None if self._by_popularity is not None else _centre(artifact.item_vectors)

    def recall(self, query: UserQuery, *, rescore: bool = True) -> Recalled:
        """Returns exactly min(k, items not excluded) candidates."""
        pool = self.search(query, size=pool_size(query.k) if rescore else query.k)
        return self.rescore(pool, query.k) if rescore else first(pool, query.k)

    def search(self, query: UserQuery, *, size: int) -> Pool:
        """Returns the pool: the min(size, items not excluded) best items for the user vector."""
        eligible = self._eligible(query)
        sought = self.sought(query)
        if sought is None and self._by_popularity is not None:
            return self._popular(self._by_popularity, size, eligible)
        fallback: Fallback | None = None
        if sought is None:
            assert self._centre is not None
            sought, fallback = Sought(self._centre, None), "centre"
        rows, scores = self._artifact.index.search(sought.vector, size, eligible=eligible)
        return Pool(sought.vector, rows, scores, fallback, sought.asked)

    def sought(self, query: UserQuery) -> Sought | None:
        """Returns what the index is searched with; None where nothing is known of the user."""
        if query.sought is not None:
            return query.sought
        if self._artifact.learnt is not None:
            asked = self._artifact.learnt.matching.ask(KnownUser(query.texts, query.history, query.weights))
            return None if asked is None else Sought(asked.vector, asked)
        assert isinstance(self._matching, DecayedMean)
        history = self._artifact.embeddings[query.history]
        vector = self._matching.user_vector(UserEmbeddings(query.texts, history, query.weights))
        return None if vector is None else Sought(vector, None)

    def job(self, query: UserQuery, *, rescore: bool, deadline: float | None) -> "RecallJob | None":
        """Returns what `recall` does as a job for the library's threads; None where they can't do it.

        Args:
            query: The request.
            rescore: Whether the head looks at the pool.
            deadline: Seconds until the search need no longer begin, and rescoring is left out; None for never.
        """
        head = self._score_features
        if rescore and not isinstance(head, NativeHead):
            return None
        size = pool_size(query.k) if rescore else query.k
        compared = self._artifact.index.compared(size, self._eligible(query))
        user = None if compared is None else self._asking(query)
        if compared is None or user is None or user.asked is None:
            return None
        find = Find(compared, user.vector if isinstance(user, Sought) else user, deadline)
        if rescore and isinstance(head, NativeHead) and user.asked.situation in head.head.situations:
            find.rescore(head, user.asked, self._artifact.item_vectors)
        return RecallJob(find, user, query.k, partial(self.recall, query, rescore=rescore))

    def _asking(self, query: UserQuery) -> Sought | Asking | None:
        """Returns what the index is searched with, or what the threads can make it of; None where nothing is known."""
        learnt = self._artifact.learnt
        if query.sought is not None or learnt is None or not isinstance(learnt.matching, NativeMatching):
            return self.sought(query)
        if not len(query.texts) and not len(query.history):
            return None
        return learnt.matching.asking(KnownUser(query.texts, query.history, query.weights))

    def rescore(self, pool: Pool, k: int) -> Recalled:
        """Returns the pool's k best by the relation head."""
        if pool.user_vector is None:
            return first(pool, k)
        vectors, head = self._artifact.item_vectors, self._artifact.head
        if not isinstance(head, FeatureHead):
            relation = head.score(pool.user_vector, vectors[pool.rows], pool.rows)
            order = falling(relation)
        # Where the centre stands in for the user there is nothing to relate to.
        elif pool.asked is None or pool.asked.situation not in head.situations:
            return first(pool, k)
        else:
            assert self._score_features is not None
            relation, order = self._score_features(pool.asked, vectors, rows=pool.rows, scores=pool.recall_scores)
        best = order[:k]
        return Recalled(pool.rows[best], relation[best], pool.recall_scores[best], relation[best], pool.fallback)

    def _eligible(self, query: UserQuery) -> Mask | None:
        if not len(query.excluded):
            return None
        eligible: Mask = np.ones(len(self._artifact.index), np.bool_)
        eligible[query.excluded] = False
        return eligible

    def _popular(self, order: Rows, size: int, eligible: Mask | None) -> Pool:
        rows = order if eligible is None else order[eligible[order]]
        popularity = self._artifact.popularity
        return Pool(None, rows[:size], popularity[rows[:size]] / popularity.max(), "popular")


def pool_size(k: int) -> int:
    """Returns how many items the index hands to the head for k candidates."""
    return max(k, min(max(_POOL_FACTOR * k, _POOL_MIN), _POOL_MAX))


def first(pool: Pool, k: int) -> Recalled:
    """Returns the pool's k best by recall score, without the head."""
    scores = pool.recall_scores[:k]
    return Recalled(pool.rows[:k], scores, scores, None, pool.fallback)


def _popularity_order(popularity: Vector) -> Rows | None:
    return np.argsort(-popularity, kind="stable").astype(np.int64) if popularity.any() else None


def _centre(embeddings: Matrix) -> Vector:
    mean = embeddings.mean(axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean))
    centre: Vector = (mean / norm if norm > 0 else mean).astype(np.float32)
    return centre
