"""Reads the interactions, compactly: ids become integer codes while the table streams by.

Knows the columns, not the catalogue: `RawInteractions.to_interactions` is given its ids.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from index_builder.cells import read_id, read_number, read_text
from index_builder.config import InteractionsConfig
from index_builder.event_times import EventTimes, TimeKind, usual_kind
from index_builder.rejects import EXAMPLES, RejectKind, Rejects, RowError, show
from index_builder.tables import Row, read_rows, require_columns
from models.errors import DataError
from models.training.interactions import Interactions

_FIRST = 1_000  # rows that tell what the time column holds


@dataclass(frozen=True, slots=True)
class UnknownItems:
    """What the interactions name and the catalogue doesn't have; left out, no error.

    Attributes:
        n_rows: Interactions with such an item.
        n_ids: Distinct ids.
        examples: The first few of them.
    """

    n_rows: int
    n_ids: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RawInteractions:
    """Interactions as the table has them, before the catalogue's rows are known.

    Attributes:
        users: Positions in `user_ids`, shape `(n,)`.
        items: Positions in `item_ids`, shape `(n,)`.
        user_ids: Each user once, in the order of the table.
        item_ids: Each item once, in the order of the table.
        times: Bigger is later, shape `(n,)`; None without a time column.
        time_kind: How the time column was understood; None without one.
        texts: What users wrote, one entry an interaction; None without a text column.
        n_rows: Rows read: good, bad and below the rating.
        n_below_rating: Rows left out because they are rated below `min_rating`.
        n_unrated: Rows left out because they aren't rated where `min_rating` asks for it.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    times: NDArray[np.float64] | None
    time_kind: TimeKind | None
    texts: list[str | None] | None
    n_rows: int
    n_below_rating: int
    n_unrated: int = 0

    @property
    def named(self) -> Set[str]:
        """Ids of the items that interactions name."""
        return frozenset(self.item_ids)

    def to_interactions(self, rows_by_id: Mapping[str, int]) -> tuple[Interactions, UnknownItems]:
        """Returns the interactions with items of the catalogue, and what had to be left out.

        Args:
            rows_by_id: Rows of the catalogue by item id.

        Raises:
            DataError: No interaction is left.
        """
        rows_of_items = np.array([rows_by_id.get(item_id, -1) for item_id in self.item_ids], dtype=np.int64)
        rows = rows_of_items[self.items]
        known = rows >= 0
        if not known.any():
            raise DataError(
                f"none of the {len(rows)} interactions names an item of the catalogue: they name "
                f"{_first(self.item_ids)}; the catalogue has {_first(rows_by_id)}; make the item columns of "
                "[interactions] and [catalogue] hold the same ids"
            )
        unknown_ids = [item_id for item_id in self.item_ids if item_id not in rows_by_id]
        unknown = UnknownItems(int((~known).sum()), len(unknown_ids), tuple(unknown_ids[:EXAMPLES]))
        # By id, not as the table's order hands them out: what is drawn of users must not depend on an export's order.
        users = sorted(np.unique(self.users[known]).tolist(), key=self.user_ids.__getitem__)
        place = np.zeros(len(self.user_ids), np.int64)
        place[users] = np.arange(len(users))
        interactions = Interactions(
            users=place[self.users[known]],
            user_ids=tuple(self.user_ids[user] for user in users),
            items=rows[known],
            times=None if self.times is None else self.times[known],
            texts=None if self.texts is None else tuple(self.texts[i] for i in np.flatnonzero(known)),
        )
        return interactions, unknown


def read_interactions(config: InteractionsConfig, *, rejects: Rejects) -> RawInteractions:
    """Reads every interaction that is a positive.

    Args:
        config: Where they are and which columns say what.
        rejects: Takes the bad rows of this table, and of no other.

    Raises:
        DataError: The table can't be read, a configured column is in no row, more rows are bad than
            `max_reject_share` allows, or no interaction is left.
    """
    columns = [config.user, config.item, config.time, config.text, config.rating]
    wanted = [column for column in columns if column is not None]
    require_columns(config.path, wanted)
    rows = read_rows(config.path, rejects, columns=wanted)
    first = list(islice(rows, _FIRST))
    times = None if config.time is None else _times(config.time, first)
    collector = _Collector(config, times)
    for row in chain(first, rows):
        try:
            collector.add(row.values)
        except RowError as error:
            rejects.add(error, file=row.file, line=row.line, row=row.values)
    # Before anything is made of the rows: too many bad ones say more than what is left of them.
    rejects.check_share(collector.n_good + rejects.total, config.max_reject_share, "interactions")
    raw = collector.to_raw(rejects.total)
    if not len(raw.users):
        left_out = [f"{rejects.total} of them bad"] if rejects.total else []
        if config.min_rating is not None:
            left_out.append(f"{raw.n_below_rating} below min_rating {config.min_rating}, {raw.n_unrated} not rated")
        what = ", ".join([f"{raw.n_rows} rows", *left_out])
        raise DataError(
            f"{config.path} holds no usable interaction in {what}; mend it, or leave [interactions] out for a zero-shot"
            " artifact"
        )
    return raw


def _times(column: str, first: Sequence[Row]) -> EventTimes:
    """Returns what collects the times: the column is taken for what most of its first rows are."""
    return EventTimes(column, usual_kind(row.values.get(column) for row in first))


class _Collector:
    def __init__(self, config: InteractionsConfig, times: EventTimes | None) -> None:
        self._config = config
        self._users = array("i")
        self._items = array("i")
        self._user_codes: dict[str, int] = {}
        self._item_codes: dict[str, int] = {}
        self._times = times
        self._texts: list[str | None] | None = None if config.text is None else []
        # A user's text often stands in each of the user's rows: it is kept once.
        self._same_text: dict[str, str] = {}
        self._n_below_rating = self._n_unrated = 0

    @property
    def n_good(self) -> int:
        """Rows that were understood, those left out for their rating too."""
        return len(self._users) + self._n_below_rating + self._n_unrated

    def add(self, values: Mapping[str, object]) -> None:
        """Adds one row; a RowError leaves no trace of it."""
        config = self._config
        user = read_id(values.get(config.user), config.user)
        item = read_id(values.get(config.item), config.item)
        if (rating := self._rating(values)) is None:
            self._n_unrated += 1
            return
        if config.min_rating is not None and rating < config.min_rating:
            self._n_below_rating += 1
            return
        text = "" if config.text is None else read_text(values.get(config.text), config.text)
        if self._times is not None and config.time is not None:
            self._times.add(values.get(config.time))
        self._users.append(self._user_codes.setdefault(user, len(self._user_codes)))
        self._items.append(self._item_codes.setdefault(item, len(self._item_codes)))
        if self._texts is not None:
            self._texts.append(self._same_text.setdefault(text, text) if text.strip() else None)

    def to_raw(self, n_rejected: int) -> RawInteractions:
        return RawInteractions(
            users=np.array(self._users, dtype=np.int32),
            items=np.array(self._items, dtype=np.int32),
            user_ids=tuple(self._user_codes),
            item_ids=tuple(self._item_codes),
            times=None if self._times is None else self._times.to_array(),
            time_kind=None if self._times is None else self._times.kind,
            texts=self._texts,
            n_rows=self.n_good + n_rejected,
            n_below_rating=self._n_below_rating,
            n_unrated=self._n_unrated,
        )

    def _rating(self, values: Mapping[str, object]) -> float | None:
        """Returns it, and the best where none is asked for; None where the row has none."""
        config = self._config
        if config.rating is None or config.min_rating is None:
            return float("inf")
        value = values.get(config.rating)
        rating = read_number(value)
        if rating is None and value is not None:
            raise RowError(RejectKind.WRONG_TYPE, f"{config.rating} is {show(value)}, it has to be a number")
        return rating


def _first(ids: Iterable[str]) -> str:
    return ", ".join(repr(item_id) for item_id in islice(ids, EXAMPLES))
