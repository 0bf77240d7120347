import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.event_times import EventTimes, TimeKind, usual_kind
from index_builder.rejects import RejectKind, RowError


def times_of(*values: object) -> tuple[TimeKind | None, list[float]]:
    times = EventTimes("time")
    for value in values:
        times.add(value)
    return times.kind, times.to_array().tolist()


def test_numbers_and_strings_that_spell_them_stay() -> None:
    assert times_of(1_700_000_000, 1.5, "1700000001") == (TimeKind.NUMBER, [1_700_000_000.0, 1.5, 1_700_000_001.0])


def test_iso_dates_become_unix_seconds_and_utc_where_no_zone_is_named() -> None:
    assert times_of("1970-01-02", "1970-01-01T00:00:01.5", "1970-01-01 02:00:00+02:00", "1970-01-01T00:00:02Z") == (
        TimeKind.DATE,
        [86_400.0, 1.5, 0.0, 2.0],
    )
    assert times_of("1970-01-01 00:00:03 UTC") == (TimeKind.DATE, [3.0])


def test_dates_as_people_write_them_become_unix_seconds() -> None:
    assert times_of("1/2/1970 0:00", "1/1/1970 0:01", "1/31/1970") == (
        TimeKind.CALENDAR,
        [86_400.0, 60.0, 30 * 86_400.0],
    )


def test_other_strings_get_dense_ranks() -> None:
    assert times_of("v3", "v1", "v3", "v2", "2024-01-01") == (TimeKind.TEXT, [3.0, 1.0, 3.0, 2.0, 0.0])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["n/a", 1, "2"], TimeKind.NUMBER),
        ([None, " ", "2024-01-01", 5, "2024-01-02"], TimeKind.DATE),
        (["1", "v1", "v2"], TimeKind.TEXT),
        (["?", "31/12/2024", "1/2/2024"], TimeKind.CALENDAR),
        ([None, ""], None),
    ],
)
def test_a_column_is_what_most_of_its_cells_are(values: list[object], kind: TimeKind | None) -> None:
    assert usual_kind(values) is kind


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1))
def test_ranks_sort_as_the_strings_do(texts: list[str]) -> None:
    times = EventTimes("time")
    times.add("~ a first one that is neither number nor date")
    for text in texts:
        times.add(text)
    ranks = times.to_array()[1:]
    by_rank = [text for _, text in sorted(zip(ranks, texts, strict=True))]
    assert by_rank == sorted(texts)


@pytest.mark.parametrize(
    ("first", "then", "wanted"),
    [
        (1, "2024-01-01", "a number"),
        ("2024-01-01", 1, "a date"),
        ("2024-01-01", "yesterday", "a date"),
        ("monday", 1, "a text"),
        ("31/12/2024", "2024-12-31", "a date that begins with day or month"),
        (1, True, "a number"),
    ],
)
def test_another_kind_than_the_first_is_rejected(first: object, then: object, wanted: str) -> None:
    times = EventTimes("time")
    times.add(first)
    with pytest.raises(RowError, match=f"time is .*, it has to be {wanted} as the other rows have") as caught:
        times.add(then)
    assert caught.value.kind is RejectKind.WRONG_TYPE
    assert len(times.to_array()) == 1


@pytest.mark.parametrize("value", [None, "", " "])
def test_a_missing_time_is_rejected_and_decides_nothing(value: object) -> None:
    times = EventTimes("time")
    with pytest.raises(RowError, match="time is missing") as caught:
        times.add(value)
    assert caught.value.kind is RejectKind.NO_TIME
    times.add("2024-01-01")
    assert times.kind is TimeKind.DATE


@pytest.mark.parametrize("value", [True, [1], {"at": 1}])
def test_a_wrong_first_value_decides_nothing(value: object) -> None:
    times = EventTimes("time")
    with pytest.raises(RowError, match="a number, an ISO 8601 date or a string"):
        times.add(value)
    assert times.kind is None
