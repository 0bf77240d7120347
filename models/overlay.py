"""Live items over an artifact: one catalogue to whoever searches it, without copying or changing the artifact.

Rows from n_items on are live items. They are searched beside the index, on its axes where it has some, and merged by
the same inner product; catalogue rows that a live item stands over, and deleted ones, are never found.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from models.artifact import Artifact, ItemFields
from models.item_index import ItemIndex
from models.learnt import Learnt
from models.native.find import Compared
from models.recaller import Recaller
from models.relation_head import HadamardHead, RelationHead
from models.types import JsonValue, Mask, Matrix, Rows, Vector


@dataclass(frozen=True, slots=True, eq=False)
class LiveItem:
    """An item with a vector of its own.

    Attributes:
        id: The item.
        text: Clean.
        fields: All of them.
        embedding: Of its text, shape `(dim,)`.
        row: The catalogue row that it stands over; None for a new item.
    """

    id: str
    text: str
    fields: Mapping[str, JsonValue]
    embedding: Vector
    row: int | None


class _Stacked:
    """Rows of an array that is only mapped, with a few more behind it; read by integer rows, of some columns or all."""

    def __init__(self, base: Matrix, more: Matrix) -> None:
        self._base, self._more = base, more
        self.shape: tuple[int, ...] = (len(base) + len(more), *base.shape[1:])
        self.dtype = base.dtype

    @property
    def stacked(self) -> tuple[Matrix, Matrix]:
        """What lies over what."""
        return self._base, self._more

    def __len__(self) -> int:
        return len(self._base) + len(self._more)

    def __getitem__(self, rows: Rows | tuple[slice, int | slice]) -> Matrix:
        if isinstance(rows, tuple):  # columns, whose rows are asked for next
            return _stacked(self._base[rows], self._more[rows])
        is_more = rows >= len(self._base)
        if not is_more.any():
            return self._base[rows]
        found = np.empty((len(rows), *self.shape[1:]), np.float32)
        found[~is_more] = self._base[rows[~is_more]]
        found[is_more] = self._more[rows[is_more] - len(self._base)]
        return found


def _stacked(base: Matrix, more: Matrix) -> Matrix:
    # All that a matrix of items is asked for is [rows], [:, columns][rows] and its length.
    return cast("Matrix", _Stacked(base, more))


class _Ids(Sequence[str]):
    def __init__(self, base: Sequence[str], more: Sequence[str]) -> None:
        self._base, self._more = base, more

    def __len__(self) -> int:
        return len(self._base) + len(self._more)

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # nobody slices ids
        return self._base[row] if row < len(self._base) else self._more[row - len(self._base)]


class _Fields(ItemFields):
    """The fields of items, where a live record may say others."""

    def __init__(self, base: ItemFields, changed: Mapping[int, Mapping[str, JsonValue]]) -> None:
        self._base, self._changed = base, changed

    def get(self, row: int) -> dict[str, JsonValue]:
        changed = self._changed.get(row)
        return self._base.get(row) if changed is None else dict(changed)


class _Index(ItemIndex):
    """The index with live items searched beside it."""

    def __init__(self, base: ItemIndex, vectors: Matrix, dead: Rows) -> None:
        self._base, self._live = base, base.like(vectors)
        self._alive: Mask | None = None
        if len(dead):
            self._alive = np.ones(len(base), np.bool_)
            self._alive[dead] = False
        self.kind = base.kind

    def __len__(self) -> int:
        return len(self._base) + len(self._live)

    @property
    def dim(self) -> int:
        return self._base.dim

    @property
    def is_quick(self) -> bool:
        return self._base.is_quick and self._live.is_quick

    def search(self, query: Vector, k: int, *, eligible: Mask | None = None) -> tuple[Rows, Vector]:
        below, live = self._of_each(eligible)
        rows, scores = self._base.search(query, k, eligible=below)
        live_rows, live_scores = self._live.search(query, k, eligible=live)
        rows, scores = np.concatenate([rows, live_rows + len(self._base)]), np.concatenate([scores, live_scores])
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]

    def compared(self, k: int, eligible: Mask | None) -> Compared | None:
        below, live = self._of_each(eligible)
        compared = self._base.compared(k, below)
        return None if compared is None else replace(compared, more=self._live.compared_beside(k, live))

    def _of_each(self, eligible: Mask | None) -> tuple[Mask | None, Mask | None]:
        """Returns which catalogue rows and which live items may be returned; None means all."""
        if eligible is None:
            return self._alive, None
        below, live = eligible[: len(self._base)], eligible[len(self._base) :]
        return below if self._alive is None else below & self._alive, live


class _Recaller(Recaller):
    """Keeps what the plain one computed over the whole catalogue."""

    def __init__(self, plain: Recaller, artifact: Artifact, dead: Rows) -> None:
        vars(self).update(vars(plain))
        self._artifact = artifact
        if self._by_popularity is not None:
            order = np.argsort(-artifact.popularity, kind="stable").astype(np.int64)
            self._by_popularity = order[~np.isin(order, dead)]


def lay_over(
    artifact: Artifact,
    recaller: Recaller,
    items: Sequence[LiveItem],
    *,
    changed: Mapping[int, Mapping[str, JsonValue]],
    deleted: Sequence[int],
) -> tuple[Artifact, Recaller]:
    """Returns an artifact and a recaller that know the live items, too.

    Args:
        artifact: What is under them.
        recaller: Over it.
        items: New items, and those whose text changed.
        changed: All fields of catalogue rows of which only other fields changed.
        deleted: Catalogue rows that are gone.
    """
    n = len(artifact.item_ids)
    replaced = [item.row for item in items if item.row is not None]
    dead: Rows = np.array(sorted({*deleted, *replaced}), np.int64)
    dim = artifact.embeddings.shape[1]
    embeddings: Matrix = np.array([item.embedding for item in items], np.float32).reshape(len(items), dim)
    inherited = [-1 if item.row is None else item.row for item in items]
    learnt, vectors = None, embeddings
    if artifact.learnt is not None:
        texts = artifact.text_vectors(embeddings, [item.text for item in items])
        learnt, vectors = _learnt_over(artifact.learnt, texts, np.array(inherited, np.int64))
    own_rows = {item.id: n + number for number, item in enumerate(items)}
    fields = {**changed, **{n + number: item.fields for number, item in enumerate(items)}}
    over = replace(
        artifact,
        item_ids=_Ids(artifact.item_ids, [item.id for item in items]),
        writer=None if artifact.writer is None else artifact.writer.beside([item.id for item in items]),
        rows=ChainMap(own_rows, cast("dict[str, int]", artifact.rows)),  # nobody changes it
        fields=_Fields(artifact.fields, fields),
        embeddings=_stacked(artifact.embeddings, embeddings),
        popularity=_extended(artifact.popularity, inherited),
        index=_Index(artifact.index, vectors, dead),
        head=_head_over(artifact.head, inherited),
        learnt=learnt,
    )
    return over, _Recaller(recaller, over, dead)


def _learnt_over(learnt: Learnt, texts: Matrix, inherited: Rows) -> tuple[Learnt, Matrix]:
    """Returns the matching with the items of these texts behind its own, and their vectors.

    An item that stands over one of the catalogue is as popular as that, and no newer.
    """
    parts, side = learnt.item_side.parts(texts), learnt.matching.side
    known = inherited >= 0
    parts.popularity[known] = learnt.item_vectors[inherited[known], -1:]
    vectors = parts.joined().astype(np.float32)
    side = replace(
        side,
        history_factors=_stacked(side.history_factors, learnt.item_side.history_factors(texts)),
        zero_shot_items=_stacked(side.zero_shot_items, parts.zero_shot),
        tower_items=_stacked(side.tower_items, parts.tower),
    )
    return replace(
        learnt, matching=learnt.matching.beside(side), item_vectors=_stacked(learnt.item_vectors, vectors)
    ), vectors


def _head_over(head: RelationHead, inherited: Sequence[int]) -> RelationHead:
    return replace(head, bias=_extended(head.bias, inherited)) if isinstance(head, HadamardHead) else head


def _extended(values: Vector, inherited: Sequence[int]) -> Vector:
    """Returns one value an item with more behind them: that of the row stood over, 0 where there is none."""
    more = np.array([values[row] if row >= 0 else 0 for row in inherited], np.float32)
    return np.concatenate([values, more])
