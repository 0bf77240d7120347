"""Items that changed since the catalogue was read: the record, how changes join, and what every store promises.

A store keeps one record an item, under a number that grows with each change: who remembers the highest it has seen
reads what came after. Each field has its number, too, so that an artifact that was built with the changes up to some
number takes the later ones only. Precedence: a live field stands over the catalogue's; after a deletion nothing of the
row counts any more.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import orjson

from models.text import TextRecipe
from models.types import JsonValue, Vector


@dataclass(frozen=True, slots=True, eq=False)
class KnownVector:
    """An embedding that needn't be made again.

    Attributes:
        space: Encoder fingerprint and runtime that it comes from.
        text_hash: Of the clean text, by `models.text.text_hash`.
        embedding: Shape `(dim,)`.
    """

    space: str
    text_hash: bytes
    embedding: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a caller wants of one item.

    Attributes:
        id: The item.
        fields: Those that change; None deletes the item.
        known: The embedding of its text, where the text is known.
    """

    id: str
    fields: Mapping[str, JsonValue] | None
    known: KnownVector | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LiveRecord:
    """What is known of one item beyond the catalogue.

    Attributes:
        id: The item.
        seq: Number of its newest change.
        fields: Value and number of each field that was set since the last deletion.
        deleted_at: Number of the last deletion; 0 without one.
        known: The embedding of its text.
    """

    id: str
    seq: int
    fields: Mapping[str, tuple[JsonValue, int]]
    deleted_at: int
    known: KnownVector | None

    @property
    def is_deleted(self) -> bool:
        """Whether the deletion is the newest change."""
        return self.seq == self.deleted_at

    def over(self, row: Mapping[str, JsonValue], since: int = 0) -> dict[str, JsonValue]:
        """Returns the item's fields.

        Args:
            row: Those of its catalogue row; empty where there is none.
            since: Changes up to this number are in the row already.
        """
        base = {} if self.deleted_at > since else row
        return {**base, **{name: value for name, (value, seq) in self.fields.items() if seq > since}}

    def to_bytes(self) -> bytes:
        """Returns everything but the id."""
        known = self.known and {
            "space": self.known.space,
            "hash": self.known.text_hash.hex(),
            "embedding": base64.b64encode(self.known.embedding.astype("<f4").tobytes()).decode(),
        }
        content = {"seq": self.seq, "fields": self.fields, "deleted_at": self.deleted_at, "known": known}
        return orjson.dumps(content)

    @classmethod
    def from_bytes(cls, item_id: str, raw: bytes) -> "LiveRecord":
        """Reads what `to_bytes` wrote."""
        content = orjson.loads(raw)
        known = content["known"] and KnownVector(
            content["known"]["space"],
            bytes.fromhex(content["known"]["hash"]),
            np.frombuffer(base64.b64decode(content["known"]["embedding"]), "<f4").astype(np.float32),
        )
        fields = {name: (value, seq) for name, (value, seq) in content["fields"].items()}
        return cls(item_id, content["seq"], fields, content["deleted_at"], known)


class LiveStore(Protocol):
    """Live records, on a disk before a call returns. Thread-safe; several processes may use one store.

    Every call raises `StoreUnavailableError` where the store can't be reached or can't write.
    """

    def put(self, changes: Sequence[Change]) -> int:
        """Joins the changes to what is there, all or none of them, in order; returns the highest number given."""

    def get(self, ids: Sequence[str]) -> list[LiveRecord | None]:
        """Returns the record of each item, None where there is none."""

    def read(self, after: int, limit: int) -> list[LiveRecord]:
        """Returns the records with the lowest numbers above one, at most `limit`, in the order of their numbers."""

    def trim(self, up_to: int) -> None:
        """Drops the records whose newest change has at most this number.

        The highest number that was given is kept: a clock that was put back must not give one below an artifact's cut.
        """

    def close(self) -> None:
        """Gives back what it holds."""


def join(old: LiveRecord | None, change: Change, seq: int) -> LiveRecord:
    """Returns the record of an item after a change."""
    old = old or LiveRecord(change.id, 0, {}, 0, None)
    if change.fields is None:
        return LiveRecord(change.id, seq, {}, seq, None)
    fields = {**old.fields, **{name: (value, seq) for name, value in change.fields.items()}}
    return replace(old, seq=seq, fields=fields, known=change.known or old.known)


def next_seq(highest: int, now: float) -> int:
    """Returns a number above the highest: microseconds since 1970, so that a store begun anew gives none twice.

    Args:
        highest: That was given.
        now: Unix seconds.
    """
    return max(highest + 1, int(now * 1e6))


def text_of(fields: Mapping[str, JsonValue], text_fields: Sequence[str], recipe: TextRecipe) -> str:
    """Returns the clean text of an item, as the builder makes it of a catalogue row."""
    return recipe.item_text([_words(fields.get(name)) for name in text_fields])


def _words(value: JsonValue) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
