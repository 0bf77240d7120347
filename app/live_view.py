"""Live records as one artifact sees them: which rows they stand over, which embeddings they need."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from app.engine import Engine
from models.live_items import KnownVector, LiveRecord, text_of
from models.overlay import LiveItem, lay_over
from models.text import text_hash
from models.types import JsonValue

_NO_VECTOR = np.empty(0, np.float32)


class LiveView:
    """The live records over the artifact of an engine; a record is looked at once.

    Args:
        engine: Nothing is laid over it yet.
    """

    def __init__(self, engine: Engine) -> None:
        self.plain = engine
        self._items: dict[str, LiveItem] = {}
        self._changed: dict[int, Mapping[str, JsonValue]] = {}
        self._deleted: set[int] = set()

    def update(self, records: Iterable[LiveRecord]) -> dict[str, KnownVector]:
        """Takes new records and returns the embeddings that had to be made, by item."""
        missing = [record.id for record in records if not self._add(record)]
        missing = [item_id for item_id in dict.fromkeys(missing) if item_id in self._items]
        made = self._encoded([self._items[item_id].text for item_id in missing])
        for item_id, known in zip(missing, made, strict=True):
            self._items[item_id] = replace(self._items[item_id], embedding=known.embedding)
        return dict(zip(missing, made, strict=True))

    def __len__(self) -> int:
        return len(self._items) + len(self._changed) + len(self._deleted)

    def engine(self) -> Engine:
        """Returns the engine with the records laid over."""
        plain = self.plain
        artifact, recaller = lay_over(
            plain.artifact,
            plain.recaller,
            list(self._items.values()),
            changed=dict(self._changed),
            deleted=list(self._deleted),
        )
        return replace(plain, artifact=artifact, recaller=recaller)

    def _add(self, record: LiveRecord) -> bool:
        """Finds a record's place; says whether nothing is missing there."""
        artifact, manifest = self.plain.artifact, self.plain.artifact.manifest
        row = artifact.rows.get(record.id, -1)
        self._items.pop(record.id, None)
        self._changed.pop(row, None)
        self._deleted.discard(row)
        if record.seq <= manifest.live_seq:
            return True  # the catalogue was built with it
        fields = record.over({} if row < 0 else artifact.fields.get(row), manifest.live_seq)
        text = text_of(fields, manifest.text_fields, manifest.text_recipe)
        digest = text_hash(text)
        if record.is_deleted or not text:
            self._deleted |= {row} - {-1}
        elif row >= 0 and artifact.text_hashes[row].tobytes() == digest:
            self._changed[row] = fields  # nothing of what is encoded changed
        else:
            known = record.known
            fits = known is not None and (known.space, known.text_hash) == (self.plain.namespace, digest)
            vector = known.embedding if known is not None and fits else _NO_VECTOR
            self._items[record.id] = LiveItem(record.id, text, fields, vector, None if row < 0 else row)
            return fits
        return True

    def _encoded(self, texts: Sequence[str]) -> list[KnownVector]:
        if not texts:
            return []
        space = self.plain.namespace
        vectors = self.plain.encoder.encode_items(texts, lambda _: None)
        return [KnownVector(space, text_hash(text), vector) for text, vector in zip(texts, vectors, strict=True)]
