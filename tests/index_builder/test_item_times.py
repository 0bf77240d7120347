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
    times, warnings = item_times([*_items(1, None, "", " ", 2), Item("i9", "a text")], "created")

    assert times is not None
    np.testing.assert_array_equal(times, [1, np.nan, np.nan, np.nan, 2, np.nan])
    assert warnings == []


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (("unknown", 1, [3], 2), [np.nan, 1, np.nan, 2]),
        ((0, "1970-01-02", "1970-01-03", "unknown"), [np.nan, 86_400, 172_800, np.nan]),
    ],
    ids=["numbers", "dates"],
)
def test_what_most_cells_are_is_read_and_the_others_are_told_of(
    values: tuple[JsonValue, ...], seconds: list[float]
) -> None:
    """Whatever comes first."""
    times, warnings = item_times(_items(*values), "created")

    assert times is not None
    np.testing.assert_array_equal(times, seconds)
    assert warnings == [
        f"catalogue.time, the column created, can't be read in 2 of 4 cells, such as that of i0: {values[0]!r}"
    ]


@pytest.mark.parametrize(
    ("values", "n_warnings"),
    [(("new", "old"), 2), ((None, ""), 1), ((), 1), (("01/02/2024", "03/04/2024"), 2)],
    ids=["words", "nothing", "no items", "day and month left open"],
)
def test_a_column_without_times_is_told_of(values: tuple[JsonValue, ...], n_warnings: int) -> None:
    times, warnings = item_times(_items(*values), "created")

    assert times is None
    assert len(warnings) == n_warnings
    assert warnings[-1] == "the column created has no numbers or dates: nothing is learnt from the age of items"


def test_without_a_column_there_is_nothing_to_say() -> None:
    assert item_times(_items(1, 2), None) == (None, [])
