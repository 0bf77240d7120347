"""The relation head over a pool, compiled: features and scores in two calls."""

from typing import Any, Protocol

import numpy as np

from models.fused import Asked
from models.native.arrays import Kept, floats, pointer
from models.native.library import FFI, LIBRARY
from models.relation_features import N_FEATURES, NEWEST, relation_features
from models.relation_head import HIDDEN, FeatureHead, falling
from models.types import Matrix, Rows, Vector


class Scorer(Protocol):
    """Scores a pool by what is known of user and candidates."""

    def __call__(self, asked: Asked, items: Matrix, *, rows: Rows, scores: Vector) -> tuple[Vector, Rows]:
        """Returns the relation scores, bigger is better, and the places in their falling order, each of shape `(n,)`.

        Args:
            asked: The user.
            items: Vectors of the catalogue, shape `(n_items, D)`.
            rows: The candidates, best first, shape `(n,)`.
            scores: Their recall scores, shape `(n,)`.
        """


def feature_scorer(head: FeatureHead) -> Scorer:
    """Returns what scores pools by a head, compiled where there is a library for it."""
    if LIBRARY is not None:
        return NativeHead(head)

    def score(asked: Asked, items: Matrix, *, rows: Rows, scores: Vector) -> tuple[Vector, Rows]:
        relation = head.score(relation_features(asked, items, rows=rows, scores=scores))
        return relation, falling(relation)

    return score


class NativeHead:
    """Scores pools as `relation_features` and a head do, sooner.

    Args:
        head: The head.
    """

    def __init__(self, head: FeatureHead) -> None:
        kept, native, tensors = Kept(), FFI.new("Head *"), head.tensors
        native.n_features, native.hidden = tensors["mean"].size, HIDDEN
        for name in ("mean", "deviation", "linear"):
            setattr(native, name, kept.floats(tensors[name]))
        native.outer = kept.floats(tensors["outer.weight"])
        kept.fill(tensors, "inner", native.inner)
        kept.fill(tensors, "middle", native.middle)
        self.head, self.native, self._kept = head, native, kept
        self._catalogue: Catalogue | None = None

    def __call__(self, asked: Asked, items: Matrix, *, rows: Rows, scores: Vector) -> tuple[Vector, Rows]:
        """Returns relation scores and their falling order; as `Scorer`."""
        features = self.catalogue(asked, items).features(asked, rows, scores)
        relation, order = np.empty(len(rows), np.float32), np.empty(len(rows), np.int32)
        LIBRARY.recall_head(self.native, pointer(features), len(rows), pointer(relation), pointer(order))
        return relation, order.astype(np.int64)

    def catalogue(self, asked: Asked, items: Matrix) -> "Catalogue":
        """Returns what candidates are held against, made once a catalogue."""
        catalogue = self._catalogue
        if catalogue is None or catalogue.items is not items:
            self._catalogue = catalogue = Catalogue(asked, items)
        return catalogue  # never what another thread has put there meanwhile


class Catalogue:
    """What is the same for every user of an artifact, as the library reads it.

    Args:
        asked: Any of the users.
        items: Vectors of the catalogue, shape `(n_items, D)`; those of live items may lie apart.
    """

    def __init__(self, asked: Asked, items: Matrix) -> None:
        known, kept, near, among = FFI.new("Known *"), Kept(), asked.neighbours, asked.alike.among
        base, more = (items, items[:0]) if isinstance(items, np.ndarray) else items.stacked
        known.items.base, known.items.more = kept.floats(base), kept.floats(more)
        known.items.n_base, known.items.stride = base.shape
        known.d0, known.d1, known.d2 = (
            part.shape[1] for part in (asked.parts.zero_shot, asked.parts.behaviour, asked.parts.tower)
        )
        known.n_fitted, known.n_near = near.rows.shape
        known.near, known.near_cosines = kept.any(near.rows, np.int32), kept.floats(near.cosines)
        known.starts, known.consumed = kept.any(among.starts, np.int64), kept.any(among.items, np.int32)
        self.items, self._known, self._kept = items, known, kept

    def known(self, asked: Asked) -> tuple[Any, object]:
        """Returns a user beside it all, as the library reads it, and what that points to, which has to be kept."""
        known, tokens, parts, alike = FFI.new("Known *", self._known[0]), asked.tokens, asked.parts, asked.alike
        newest = slice(-NEWEST, None)
        texts = tuple(floats(part[newest]) for part in tokens.texts)
        consumed = tuple(floats(part[newest]) for part in tokens.items)
        history = tokens.rows[newest]
        known.zero_shot, known.tower = pointer(parts.zero_shot), pointer(parts.tower)
        known.behaviour = pointer(parts.behaviour)
        known.n_texts, known.n_history, known.n_words = len(tokens.texts[0]), len(tokens.weights), tokens.n_words
        known.n_read_texts, known.n_read_history = len(texts[0]), len(history)
        known.text_meaning, known.text_tower = map(pointer, texts)
        known.item_meaning, known.item_behaviour, known.item_tower = map(pointer, consumed)
        known.history = pointer(history)
        known.n_alike, known.alike, known.alike_weights = len(alike.users), pointer(alike.users), pointer(alike.weights)
        return known, (self, asked, texts, consumed, history)

    def features(self, asked: Asked, rows: Rows, scores: Vector) -> Matrix:
        """Returns the features of each candidate, shape `(N_FEATURES, n)`."""
        known, _kept = self.known(asked)
        rows, scores = np.ascontiguousarray(rows, np.int64), floats(scores)
        found = np.zeros((N_FEATURES, len(rows)), np.float32)
        LIBRARY.recall_features(known, pointer(rows), pointer(scores), len(rows), pointer(found))
        return found
