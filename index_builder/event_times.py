"""The time column as numbers that grow with time: numbers, ISO 8601 dates, calendar dates, sortable text."""

from array import array
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from index_builder.calendar_dates import calendar_seconds, is_calendar_date
from index_builder.cells import read_number
from index_builder.rejects import RejectKind, RowError, show


class TimeKind(StrEnum):
    """How a time column is understood."""

    NUMBER = "number"
    DATE = "date"
    CALENDAR = "date that begins with day or month"
    TEXT = "text"


class EventTimes:
    """Collects the times of a table.

    Numbers, or strings that spell them, stay as they are: unix seconds, if they mean that. ISO 8601 dates
    become unix seconds, in UTC where they name no zone, and so do dates such as 31/12/2024 23:59, whose column tells
    day from month. Other strings get their rank in sort order.

    Args:
        column: Its name, for errors.
        kind: How it is understood; None: as the first time is.

    Attributes:
        kind: How the column is understood; None before the first time.
    """

    def __init__(self, column: str, kind: TimeKind | None = None) -> None:
        self.kind = kind
        self._column = column
        self._times = array("d")
        self._codes: dict[str, int] = {}

    def add(self, value: object) -> None:
        """Adds the time of one row.

        Raises:
            RowError: There is no time, or it is of another kind than the column; nothing was added.
        """
        if _is_missing(value):
            raise RowError(RejectKind.NO_TIME, f"{self._column} is missing; with a time column every row has a time")
        kind = self.kind or _kind(value)
        time = self._read(value, kind)
        if time is None:
            wanted = f"a {self.kind} as the other rows have" if self.kind else "a number, an ISO 8601 date or a string"
            raise RowError(RejectKind.WRONG_TYPE, f"{self._column} is {show(value)}, it has to be {wanted}")
        self.kind = kind
        self._times.append(time)

    def to_array(self) -> NDArray[np.float64]:
        """Returns the times in the order they were added, shape `(n,)`: seconds, numbers or dense ranks.

        Raises:
            DataError: Nothing tells day from month, or the column contradicts itself.
        """
        times = np.array(self._times, dtype=np.float64)
        if not self._codes:  # numbers and dates, or no row was usable
            return times
        meant = np.empty(len(self._codes))
        if self.kind is TimeKind.CALENDAR:
            seconds = calendar_seconds(self._codes, self._column)
            meant[[self._codes[text] for text in seconds]] = list(seconds.values())
        else:
            meant[[self._codes[text] for text in sorted(self._codes)]] = np.arange(len(self._codes))
        return meant[times.astype(np.int64)]

    def _read(self, value: object, kind: TimeKind) -> float | None:
        if kind is TimeKind.NUMBER:
            return read_number(value)
        if not isinstance(value, str):
            return None
        if kind is TimeKind.DATE:
            return _unix_seconds(value)
        if kind is TimeKind.CALENDAR and not is_calendar_date(value):
            return None
        return self._codes.setdefault(value, len(self._codes))


def usual_kind(values: Iterable[object]) -> TimeKind | None:
    """Returns what most of the values are, the missing ones aside: one stray cell doesn't say what a column holds."""
    counts = Counter(_kind(value) for value in values if not _is_missing(value))
    return counts.most_common(1)[0][0] if counts else None


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _kind(value: object) -> TimeKind:
    if read_number(value) is not None:
        return TimeKind.NUMBER
    if isinstance(value, str) and _unix_seconds(value) is not None:
        return TimeKind.DATE
    if isinstance(value, str) and is_calendar_date(value):
        return TimeKind.CALENDAR
    return TimeKind.TEXT


def _unix_seconds(text: str) -> float | None:
    """Returns the moment that ISO 8601 spells, also with the zone's name behind it, as databases export it."""
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
