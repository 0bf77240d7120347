"""Live items become rows of the catalogue that is built; what comes after the cut stays live.

A change is folded in once, by the first build after it: from then on the catalogue has the word on the item again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from index_builder.config import BuildConfig
from models.live_items import LiveRecord, text_of
from models.live_stores import open_live_store
from models.text import TextRecipe
from models.types import Item

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class LiveRows:
    """What changed since the parent's cut.

    Attributes:
        records: Those with a newer change.
        since: The parent's cut.
        cut: Changes up to this number are in `records`.
    """

    records: list[LiveRecord]
    since: int
    cut: int


def read_live_rows(config: BuildConfig, since: int) -> LiveRows:
    """Reads the changes from the store that [feedback] names; nothing without that section.

    Raises:
        StoreUnavailableError: The store can't be reached.
    """
    records: list[LiveRecord] = []
    cut = since
    if config.feedback is not None:
        store = open_live_store(config.feedback.source)
        try:
            while page := store.read(cut, _PAGE):
                records += page
                cut = page[-1].seq
        finally:
            store.close()
    return LiveRows(records, since, cut)


def fold(items: Sequence[Item], live: LiveRows, config: BuildConfig, recipe: TextRecipe) -> list[Item]:
    """Returns the items with the changes in them; one without text left is dropped, new ones are last."""
    folded = {item.id: item for item in items}
    for record in live.records:
        row = folded.get(record.id)
        fields = record.over({} if row is None else row.fields, live.since)
        text = text_of(fields, config.catalogue.text, recipe)
        if record.is_deleted or not text:
            folded.pop(record.id, None)
        else:
            folded[record.id] = Item(record.id, text, {name: fields.get(name) for name in config.catalogue.fields})
    return list(folded.values())


def trim_live_rows(config: BuildConfig, up_to: int) -> None:
    """Drops changes that every artifact that is kept was built with."""
    if config.feedback is not None and up_to > 0:
        store = open_live_store(config.feedback.source)
        try:
            store.trim(up_to)
        finally:
            store.close()
