"""When the items came to be."""

import numpy as np
import pytest

from index_builder.item_times import item_times
from models.types import Item, JsonValue


def _items(*values: JsonValue) -> list[Item]:
    return [Item(f"i{number}", "a text", {"created": value}) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    "values",
    [
        (86_400, 0.0, "172800"),
        ("1970-01-02", "1970-01-01T00:00:00Z", "1970-01-03T01:00:00+01:00"),
        ("02/01/1970", "01/01/1970", "03/01/1970 00:00", "31/12/1969"),  # the last one tells day from month
    ],
    ids=["numbers", "dates", "calendar dates"],
)
def test_numbers_and_dates_are_seconds(values: tuple[JsonValue, ...]) -> None:
    times, warnings = item_times(_items(*values), "created")

    assert times is not None
    assert times[:3].tolist() == [86_400, 0, 172_800]
    assert warnings == []


def test_an_item_may_have_none() -> None:
    times, warnings = item_times([*_items(1, None, "", 2), Item("i9", "a text")], "created")

    assert times is not None
    np.testing.assert_array_equal(times, [1, np.nan, np.nan, 2, np.nan])
    assert warnings == []


def test_what_cannot_be_read_is_told_with_an_example() -> None:
    times, warnings = item_times(_items(1, "soon", [3], 2), "created")

    assert times is not None
    np.testing.assert_array_equal(times, [1, np.nan, np.nan, 2])
    assert warnings == [
        "catalogue.time, the column created, can't be read of 2 items, such as i1: created is 'soon', it has to be a"
        " number as the first row has"
    ]


@pytest.mark.parametrize("values", [("new", "old"), (None, ""), ()], ids=["words", "nothing", "no items"])
def test_a_column_without_times_is_told_of(values: tuple[JsonValue, ...]) -> None:
    times, warnings = item_times(_items(*values), "created")

    assert times is None
    assert warnings == [
        "catalogue.time, the column created, holds no numbers or dates, so nothing is learnt from the age of items"
    ]


def test_dates_that_leave_day_and_month_open_are_told_of() -> None:
    times, warnings = item_times(_items("01/02/2024", "03/04/2024"), "created")

    assert times is None
    assert len(warnings) == 1
    assert warnings[0].startswith("catalogue.time, the column created, says nothing of age: ")
