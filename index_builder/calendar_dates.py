"""Dates as people and spreadsheets write them: 31/12/2024 23:59, 12/31/2024 11:59 PM, 31.12.2024.

Whether the day or the month comes first is a matter of the whole column: one number above 12 tells.
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime

from models.errors import DataError

_WRITTEN = re.compile(
    r"\s*(?P<first>\d{1,2})(?P<between>[/.-])(?P<second>\d{1,2})(?P=between)(?P<year>\d{4}|\d{2})"
    r"(?:[ T,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<seconds>\d{2}))?\s*(?P<half>[AaPp][Mm])?)?\s*"
)
_MONTHS, _SHORT = 12, 2
_LIKE = "ISO 8601, such as 2024-12-31T23:59"


def is_calendar_date(text: str) -> bool:
    """Returns whether a string looks like such a date."""
    return _WRITTEN.fullmatch(text) is not None


def calendar_seconds(texts: Collection[str], column: str) -> dict[str, float]:
    """Returns the unix seconds, in UTC, that each string means.

    Args:
        texts: Of one column, all of which look like such dates.
        column: Its name, for errors.

    Raises:
        DataError: They don't tell whether day or month comes first, or contradict each other; one is no date, or has a
            year of two digits.
    """
    found = {text: match.groupdict() for text in texts if (match := _WRITTEN.fullmatch(text))}
    if short := next((text for text, parts in found.items() if len(parts["year"]) == _SHORT), None):
        raise DataError(f"{column} is {short!r}, where a year of two digits may be a day; write it as {_LIKE}")
    day_first = next((text for text, parts in found.items() if int(parts["first"]) > _MONTHS), None)
    month_first = next((text for text, parts in found.items() if int(parts["second"]) > _MONTHS), None)
    if (day_first is None) == (month_first is None):
        said = (
            f"nothing in it tells whether {next(iter(found), '')!r} begins with the day or the month"
            if day_first is None
            else f"{day_first!r} begins with the day and {month_first!r} with the month"
        )
        raise DataError(f"{column} holds dates, but {said}; write them as {_LIKE}")
    day, month = ("first", "second") if month_first is None else ("second", "first")
    return {text: _unix_seconds(parts, day, month, text, column) for text, parts in found.items()}


def _unix_seconds(parts: dict[str, str | None], day: str, month: str, text: str, column: str) -> float:
    number = {name: int(value) for name, value in parts.items() if value is not None and value.isdigit()}
    hour, half = number.get("hour", 0), (parts["half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    clock = hour, number.get("minute", 0), number.get("seconds", 0)
    try:
        return datetime(number["year"], number[month], number[day], *clock, tzinfo=UTC).timestamp()
    except ValueError as error:
        raise DataError(f"{column} is {text!r}, which is no date ({error}); mend it") from error
