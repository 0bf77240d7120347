"""Dates as people and spreadsheets write them: 31/12/2024 23:59, 12/31/2024 11:59 PM, 31.12.2024.

Whether the day or the month comes first is a matter of the whole column: one number above 12 tells.
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime

from models.errors import DataError

_WRITTEN = re.compile(
    r"\s*(?P<first>\d{1,2})(?P<between>[/.-])(?P<second>\d{1,2})(?P=between)(?P<year>\d{4})"
    r"(?:[ T,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<seconds>\d{2}(?:\.\d+)?))?\s*(?P<half>[AaPp][Mm])?)?\s*"
)


def is_calendar_date(text: str) -> bool:
    """Returns whether a string is such a date, whichever of its first two numbers is the day."""
    return any(_unix_seconds(text, day_first=day_first) is not None for day_first in (True, False))


def calendar_seconds(texts: Collection[str], column: str) -> dict[str, float]:
    """Returns the unix seconds, in UTC, that each string means.

    Args:
        texts: Of one column, each such a date.
        column: Its name, for errors.

    Raises:
        DataError: They don't tell whether day or month comes first, or contradict each other.
    """
    only_day_first = next((text for text in texts if _unix_seconds(text, day_first=False) is None), None)
    only_month_first = next((text for text in texts if _unix_seconds(text, day_first=True) is None), None)
    if (only_day_first is None) == (only_month_first is None):
        said = (
            f"nothing in it tells whether {next(iter(texts))!r} begins with the day or the month"
            if only_day_first is None
            else f"{only_day_first!r} begins with the day and {only_month_first!r} with the month"
        )
        raise DataError(f"{column} holds dates, but {said}; write them as ISO 8601, such as 2024-12-31T23:59")
    found = {text: _unix_seconds(text, day_first=only_month_first is None) for text in texts}
    return {text: seconds for text, seconds in found.items() if seconds is not None}


def _unix_seconds(text: str, *, day_first: bool) -> float | None:
    """Returns what a string means; None where it is no date in this order."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return None
    first, second = int(match["first"]), int(match["second"])
    day, month = (first, second) if day_first else (second, first)
    hour, half = int(match["hour"] or 0), (match["half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    seconds = float(match["seconds"] or 0)
    try:
        minute = datetime(int(match["year"]), month, day, hour, int(match["minute"] or 0), int(seconds), tzinfo=UTC)
    except ValueError:
        return None
    return minute.timestamp() + seconds % 1
