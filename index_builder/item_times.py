"""When the items came to be, from a column of the catalogue: what age is reckoned by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index_builder.event_times import EventTimes, TimeKind
from index_builder.rejects import RowError
from models.errors import DataError
from models.types import Item


def item_times(items: Sequence[Item], column: str | None) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Returns the time of each item, shape `(n,)`, NaN where there is none, and what a person should look at.

    There are no times where the column isn't one of times; a build doesn't fail by it.

    Args:
        items: With the column among their fields.
        column: As the configuration names it; None where it names none.
    """
    if column is None:
        return None, []
    times, rows = EventTimes(column), list[int]()
    unread: list[str] = []
    for row, item in enumerate(items):
        value = item.fields.get(column)
        if value is None or value == "":
            continue
        try:
            times.add(value)
        except RowError as error:
            unread.append(f"{item.id}: {error}")
        else:
            rows.append(row)
    named = f"catalogue.time, the column {column},"
    warnings = [f"{named} can't be read of {len(unread)} items, such as {unread[0]}"] if unread else []
    if not rows or times.kind is TimeKind.TEXT:
        return None, [*warnings, f"{named} holds no numbers or dates, so nothing is learnt from the age of items"]
    found = np.full(len(items), np.nan)
    try:
        found[rows] = times.to_array()
    except DataError as error:
        return None, [*warnings, f"{named} says nothing of age: {error}"]
    return found, warnings
