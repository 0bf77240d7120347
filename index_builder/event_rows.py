"""The events that were taken, as interactions beside those of the table.

Knows what an event says by its type's weight, and whose rows may not be used. Knows no catalogue.
"""

from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index_builder.config import FeedbackConfig
from index_builder.event_times import TimeKind
from index_builder.feedback import read_taken
from index_builder.interactions import RawInteractions
from index_builder.report import EventCounts
from models.errors import DataError
from models.events import user_hash

_COLUMNS = ["user_id", "item_id", "type", "timestamp", "text", "rating"]
_Row = tuple[str, str, str, float, str | None, float | None]


@dataclass(frozen=True, slots=True, eq=False)
class EventRows:
    """The taken events.

    Attributes:
        positives: Those that say that a user wants an item.
        counts: What became of all of them.
        erased: Hashes of users whose rows in the table may not be used.
    """

    positives: RawInteractions
    counts: EventCounts
    erased: frozenset[str]


def read_event_rows(config: FeedbackConfig, *, min_rating: float | None) -> EventRows:
    """Reads the events that were taken and sorts out those that are no positives.

    Args:
        config: Where they are, and the weights of their types.
        min_rating: An event that is rated lower is no positive; one without a rating goes by its type.

    Raises:
        DataError: A file is missing or damaged.
    """
    taken = read_taken(config.events)
    files = [config.events / name for name in taken.files]
    taken_back = _taken_back(files, {kind for kind, weight in config.weights.items() if weight < 0})
    wanted = {kind for kind, weight in config.weights.items() if weight > 0}
    collector, unknown, outcomes = _Collector(), Counter[str](), Counter[str]()
    for user, item, kind, time, text, rating in _rows(files):
        outcome = "positive"
        if kind not in config.weights:
            outcome = "unknown_type"
            unknown[kind] += 1
        elif kind not in wanted:
            outcome = "not_wanted"
        elif min_rating is not None and rating is not None and rating < min_rating:
            outcome = "below_rating"
        elif time <= taken_back.get((user, item), -np.inf):
            outcome = "taken_back"
        else:
            collector.add(user, item, time, text)
        outcomes[outcome] += 1
    counts = EventCounts(
        n_events=outcomes.total(),
        n_positives=outcomes["positive"],
        n_not_wanted=outcomes["not_wanted"],
        n_taken_back=outcomes["taken_back"],
        n_below_min_rating=outcomes["below_rating"],
        unknown_types=dict(unknown.most_common()),
        n_erased_users=len(taken.erased),
    )
    return EventRows(collector.to_raw(), counts, frozenset(taken.erased))


def join(table: RawInteractions | None, events: EventRows) -> RawInteractions:
    """Returns the table's rows but for those of erased users, and behind them the events.

    The table's times and the events' unix seconds stand side by side. Where the table has none, there are none.

    Args:
        table: None where there is no table.
        events: As read.
    """
    new = events.positives
    if table is None:
        return replace(new, n_rows=events.counts.n_events, n_below_rating=events.counts.n_below_min_rating)
    table = _without(table, events.erased)
    users = {user: code for code, user in enumerate(dict.fromkeys([*table.user_ids, *new.user_ids]))}
    items = {item: code for code, item in enumerate(dict.fromkeys([*table.item_ids, *new.item_ids]))}
    has_texts = table.texts is not None or any(text is not None for text in new.texts or ())
    return RawInteractions(
        users=np.concatenate([_recoded(one.users, one.user_ids, users) for one in (table, new)]),
        items=np.concatenate([_recoded(one.items, one.item_ids, items) for one in (table, new)]),
        user_ids=tuple(users),
        item_ids=tuple(items),
        times=None if table.times is None or new.times is None else np.concatenate([table.times, new.times]),
        time_kind=table.time_kind,
        texts=[*_texts(table), *_texts(new)] if has_texts else None,
        n_rows=table.n_rows + events.counts.n_events,
        n_below_rating=table.n_below_rating + events.counts.n_below_min_rating,
        n_unrated=table.n_unrated,
    )


class _Collector:
    """Ids become codes while the rows stream by."""

    def __init__(self) -> None:
        self._users, self._items, self._times = array("i"), array("i"), array("d")
        self._user_codes: dict[str, int] = {}
        self._item_codes: dict[str, int] = {}
        self._texts: list[str | None] = []

    def add(self, user: str, item: str, time: float, text: str | None) -> None:
        self._users.append(self._user_codes.setdefault(user, len(self._user_codes)))
        self._items.append(self._item_codes.setdefault(item, len(self._item_codes)))
        self._times.append(time)
        self._texts.append(text if text and text.strip() else None)

    def to_raw(self) -> RawInteractions:
        return RawInteractions(
            users=np.array(self._users, dtype=np.int32),
            items=np.array(self._items, dtype=np.int32),
            user_ids=tuple(self._user_codes),
            item_ids=tuple(self._item_codes),
            times=np.array(self._times, dtype=np.float64),
            time_kind=TimeKind.NUMBER,
            texts=self._texts,
            n_rows=len(self._users),
            n_below_rating=0,
        )


def _taken_back(files: Collection[Path], kinds: Collection[str]) -> dict[tuple[str, str], float]:
    """Returns the newest time at which each user said the opposite of wanting an item."""
    newest: dict[tuple[str, str], float] = {}
    for user, item, kind, time, _, _ in _rows(files):
        if kind in kinds:
            newest[user, item] = max(time, newest.get((user, item), -np.inf))
    return newest


def _rows(files: Collection[Path]) -> Iterator[_Row]:
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=_COLUMNS):
                    yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} can't be read: {error}; bring it back from a backup") from error


def _without(raw: RawInteractions, erased: Collection[str]) -> RawInteractions:
    if not erased:
        return raw
    may_stay = np.array([user_hash(user) not in erased for user in raw.user_ids], np.bool_)
    rows = np.flatnonzero(may_stay[raw.users])
    return replace(
        raw,
        users=raw.users[rows],
        items=raw.items[rows],
        times=None if raw.times is None else raw.times[rows],
        texts=None if raw.texts is None else [raw.texts[row] for row in rows],
    )


def _recoded(codes: NDArray[np.int32], ids: tuple[str, ...], new_codes: dict[str, int]) -> NDArray[np.int32]:
    table = np.array([new_codes[one] for one in ids], dtype=np.int32)
    return table[codes] if len(codes) else np.empty(0, np.int32)


def _texts(raw: RawInteractions) -> list[str | None]:
    return [None] * len(raw.users) if raw.texts is None else raw.texts
