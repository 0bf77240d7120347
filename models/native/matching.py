"""A learnt matching for one request, compiled."""

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
from models.tower import HIDDEN, Tower
from models.types import Matrix

_LARGEST = 60_000  # nearly float16's


class NativeMatching(FusedMatching):
    """A matching that asks as `FusedMatching` does, sooner; its weights are read as float16."""

    __slots__ = ("_kept", "_native")

    _native: Any
    _kept: Kept

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
        object.__setattr__(self, "_native", native)
        object.__setattr__(self, "_kept", kept)

    def beside(self, side: UserSide) -> FusedMatching:
        """Returns the matching over a side of the same tower, projection and decay; what is ready is shared."""
        other = object.__new__(NativeMatching)
        FusedMatching.__init__(other, side, self.weights, self.covariances)
        for name in ("_native", "_kept"):
            object.__setattr__(other, name, getattr(self, name))
        return other

    def ask(self, user: KnownUser) -> Asked | None:
        """Returns the user's vector and what it is made of, or None where neither text nor history says anything."""
        side, native = self.side, self._native
        texts, weights = floats(user.texts), floats(user.weights)
        n, h, (d0, d1, d2) = len(texts), len(weights), (native.d0, native.d1, native.d2)
        if n and texts.shape[1] != (needed := native.tower.text_dim + d2 + 1):  # it would read past their end
            raise ValueError(f"texts have {texts.shape[1]} columns, the matching reads {needed}")
        meaning, behaviour, outputs = side.consumed(user.history)
        items = floats(meaning), floats(behaviour), floats(outputs)
        of_texts = np.empty((n, d0), np.float32), np.empty((n, d2), np.float32)
        parts = Parts(*(np.empty((1, d), np.float32) for d in (d0, d1, d2, 1)))
        vector = np.empty(d0 + d1 + d2 + 1, np.float32)
        tokens = Tokens(of_texts, items, user.history, user.weights, int(texts[:, -1].sum()) if n else 0)
        how = situation(tokens)
        known = FFI.new("User *", (n, h, texts.shape[1], *map(pointer, (texts, *items, weights))))
        filled = (*of_texts, parts.zero_shot, parts.behaviour, parts.tower, parts.popularity, vector)
        asked = FFI.new("Asked *", tuple(map(pointer, filled)))
        if not LIBRARY.recall_ask(native, known, self._weights(how), asked):
            return None
        return Asked(how, vector, parts, tokens, side.neighbours, side.text_neighbours.nearest(of_texts[0]))

    def _weights(self, how: str) -> Any:  # noqa: ANN401  # cffi's arrays have no type
        weights: PartWeights = getattr(self.weights, how)
        return FFI.new("float[4]", (weights.zero_shot, weights.behaviour, weights.tower, weights.popularity))


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
