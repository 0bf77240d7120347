"""A learnt matching for one request, compiled."""

from dataclasses import replace
from typing import Any

import numpy as np

from models.fused import (
    Asked,
    FusedMatching,
    KnownUser,
    Parts,
    PartWeights,
    SituationWeights,
    Tokens,
    UserSide,
    situation,
)
from models.native.arrays import Kept, floats, pointer
from models.native.library import FFI, LIBRARY
from models.native.search import NativeWriters
from models.tower import HIDDEN, Tower
from models.types import Matrix
from models.user_text_neighbours import NEAREST, VIEWS, Alike

_LARGEST = 60_000  # nearly float16's


class NativeMatching(FusedMatching):
    """A matching that asks as `FusedMatching` does, sooner; its weights are read as float16.

    Raises:
        ValueError: What users wrote has more columns than the zero-shot part.
    """

    __slots__ = ("_kept", "_native", "_writers")

    _native: Any
    _kept: Kept
    _writers: NativeWriters | None

    def __init__(
        self, side: UserSide, weights: SituationWeights, covariances: tuple[Matrix, Matrix, Matrix, Matrix]
    ) -> None:
        super().__init__(side, weights, covariances)
        native, kept = FFI.new("Matching *"), Kept()
        native.d0, native.d1, native.d2 = (len(covariance) for covariance in covariances[:3])
        native.decay, native.projection = side.decay, kept.halves(side.projection)
        for number, covariance in enumerate(covariances):
            native.covariances[number] = kept.floats(covariance)
        _fill_tower(native.tower, side.tower, kept)
        written = side.text_neighbours.texts
        if written.shape[1] > native.d0:  # texts would be read past their end
            raise ValueError(f"the zero-shot part has {native.d0} columns, what users wrote {written.shape[1]}")
        object.__setattr__(self, "_native", native)
        object.__setattr__(self, "_kept", kept)
        object.__setattr__(self, "_writers", NativeWriters(written, NEAREST, VIEWS) if len(written) else None)

    def beside(self, side: UserSide) -> FusedMatching:
        """Returns the matching over a side of the same tower, users who wrote and so on; what is ready is shared."""
        other = object.__new__(NativeMatching)
        FusedMatching.__init__(other, side, self.weights, self.covariances)
        for name in NativeMatching.__slots__:
            object.__setattr__(other, name, getattr(self, name))
        return other

    def ask(self, user: KnownUser) -> Asked | None:
        """Returns the user's vector and what it is made of, or None where neither text nor history says anything."""
        asking = self.asking(user)
        LIBRARY.recall_ask(asking.native)
        return asking.result()

    def asking(self, user: KnownUser) -> "Asking":
        """Returns what the library is to do for that.

        Raises:
            ValueError: The user's texts are of another length than the matching reads.
        """
        return Asking(self, user)

    @property
    def native(self) -> Any:  # noqa: ANN401  # cffi's structs have no type
        """The matching as the library reads it; to be kept beside it."""
        return self._native

    @property
    def writers(self) -> NativeWriters | None:
        """The users who wrote; None where nobody did."""
        return self._writers


class Asking:
    """A user to be asked for.

    Args:
        matching: Asks.
        user: What is known.

    Attributes:
        asked: What becomes of it: arrays to be filled, and of who wrote alike as many as there can be.
        native: What the library is given.

    Raises:
        ValueError: The user's texts are of another length than the matching reads.
    """

    def __init__(self, matching: NativeMatching, user: KnownUser) -> None:
        side, native = matching.side, matching.native
        texts, weights = floats(user.texts), floats(user.weights)
        n, h, (d0, d1, d2) = len(texts), len(weights), (native.d0, native.d1, native.d2)
        if n and texts.shape[1] != (needed := native.tower.text_dim + d2 + 1):  # it would read past their end
            raise ValueError(f"texts have {texts.shape[1]} columns, the matching reads {needed}")
        meaning, behaviour, outputs = side.consumed(user.history)
        items = floats(meaning), floats(behaviour), floats(outputs)
        of_texts = np.empty((n, d0), np.float32), np.empty((n, d2), np.float32)
        parts = Parts(*(np.empty((1, d), np.float32) for d in (d0, d1, d2, 1)))
        tokens = Tokens(of_texts, items, user.history, user.weights, int(texts[:, -1].sum()) if n else 0)
        how = situation(tokens)
        alike = Alike(np.empty(NEAREST, np.int64), np.empty((len(VIEWS), NEAREST), np.float32), side.text_neighbours)
        vector = np.empty(d0 + d1 + d2 + 1, np.float32)
        self.asked = Asked(how, vector, parts, tokens, side.neighbours, alike)
        self.native = ask = FFI.new("Ask *")
        ask.matching, ask.writers = native, FFI.NULL if matching.writers is None else matching.writers.native
        ask.user = (n, h, texts.shape[1], *map(pointer, (texts, *items, weights)))
        counted: PartWeights = getattr(matching.weights, how)
        ask.weights = (counted.zero_shot, counted.behaviour, counted.tower, counted.popularity)
        filled = (*of_texts, parts.zero_shot, parts.behaviour, parts.tower, parts.popularity, vector)
        ask.asked = (*map(pointer, filled), pointer(alike.users), 0, pointer(alike.weights), 0)
        self._kept = matching, texts, weights

    def result(self) -> Asked | None:
        """Returns what became of it, once the library has done it; None where nothing is known of the user."""
        done = self.native.asked
        if not done.is_known:
            return None
        n, alike = done.n_alike, self.asked.alike
        weights = alike.weights.reshape(-1)[: len(VIEWS) * n].reshape(len(VIEWS), n)
        return replace(self.asked, alike=Alike(alike.users[:n], weights, alike.among))


def native_matching(matching: FusedMatching) -> FusedMatching:
    """Returns the matching, compiled where there is a library for it."""
    side = matching.side
    if LIBRARY is None or side.tower.facts.hops > LIBRARY.MAX_HOPS:
        return matching
    if any(np.abs(weights).max(initial=0) > _LARGEST for weights in (side.projection, *side.tower.tensors.values())):
        return matching
    return NativeMatching(matching.side, matching.weights, matching.covariances)


def _fill_tower(native: Any, tower: Tower, kept: Kept) -> None:  # noqa: ANN401  # cffi's structs have no type
    facts, tensors = tower.facts, tower.tensors
    for name in ("dim", "members", "heads", "hops", "longest", "decay", "slope"):
        setattr(native, name, getattr(facts, name))
    native.text_dim, native.hidden = tensors["text_projection"].shape[-2], HIDDEN
    native.residual = kept.floats(tensors["residual"])
    native.text_projection = kept.halves(tensors["text_projection"])
    for name in ("text_inner", "text_outer", "text_token", "item_token", "query", "out", "out_norm"):
        kept.fill(tensors, name, getattr(native, name))
    for number in range(facts.hops):
        for name in ("query_norm", "token_norm", "inner_norm", "asked", "read", "found", "inner", "outer"):
            kept.fill(tensors, f"hops.{number}.{name}", getattr(native.hop[number], name))
