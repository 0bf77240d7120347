"""When the items came to be, from a column of the catalogue: what age is reckoned by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index_builder.event_times import EventTimes, TimeKind
from index_builder.rejects import RowError
from models.errors import DataError
from models.types import Item, JsonValue

_KINDS = (TimeKind.NUMBER, TimeKind.DATE, TimeKind.CALENDAR)


def item_times(items: Sequence[Item], column: str | None) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Returns the time of each item, shape `(n,)`, NaN where there is none, and what a person should look at.

    The column is taken for what most of its cells can be: numbers, dates, or dates that begin with day or month.
    Without any there are no times; a warning says so, and the build goes on.

    Args:
        items: With the column among their fields.
        column: As the configuration names it; None where it names none.
    """
    if column is None:
        return None, []
    given = {row: value for row, item in enumerate(items) if not _is_blank(value := item.fields.get(column))}
    read: dict[int, float] = {}
    for kind in _KINDS:
        if len(read) < len(given):
            read = max(read, _read(given, column, kind), key=len)
    warnings = []
    if len(read) < len(given):
        row = next(row for row in given if row not in read)
        warnings.append(
            f"catalogue.time, the column {column}, can't be read in {len(given) - len(read)} of {len(given)} cells,"
            f" such as that of {items[row].id}: {given[row]!r:.80}"
        )
    if not read:
        nothing = f"the column {column} has no numbers or dates: nothing is learnt from the age of items"
        return None, [*warnings, nothing]
    found = np.full(len(items), np.nan)
    found[list(read)] = list(read.values())
    return found, warnings


def _read(given: dict[int, JsonValue], column: str, kind: TimeKind) -> dict[int, float]:
    """Returns the times of the rows that can be read as a kind."""
    times, rows = EventTimes(column, kind), list[int]()
    for row, value in given.items():
        try:
            times.add(value)
        except RowError:
            continue
        rows.append(row)
    if not rows:
        return {}
    try:
        return dict(zip(rows, times.to_array().tolist(), strict=True))
    except DataError:  # nothing tells day from month
        return {}


def _is_blank(value: JsonValue) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
