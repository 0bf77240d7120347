from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.calendar_dates import calendar_seconds, is_calendar_date
from models.errors import DataError


@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), min_size=1), st.sampled_from("/.-"))
@pytest.mark.parametrize("order", ["{0.day}{1}{0.month}{1}{0.year}", "{0.month}{1}{0.day}{1}{0.year}"])
def test_a_column_that_tells_day_from_month_is_read_as_it_was_written(
    order: str, moments: list[datetime], between: str
) -> None:
    moments = [moment.replace(microsecond=0) for moment in [datetime(2024, 5, 31), *moments]]
    written = [f"{order.format(moment, between)} {moment:%H:%M:%S}" for moment in moments]
    found = calendar_seconds(written, "time")
    assert [found[text] for text in written] == [moment.replace(tzinfo=UTC).timestamp() for moment in moments]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1/31/1970", 30 * 86_400),
        ("01/31/1970 8:26", 30 * 86_400 + 8 * 3_600 + 26 * 60),
        ("31.01.1970, 08:26", 30 * 86_400 + 8 * 3_600 + 26 * 60),
        ("1/31/1970 12:05 AM", 30 * 86_400 + 5 * 60),
        ("1/31/1970 12:05pm", 30 * 86_400 + 12 * 3_600 + 5 * 60),
        ("1/31/1970 0:00:01.25", 30 * 86_400 + 1.25),
        ("31-1-1970 23:59:07", 30 * 86_400 + 23 * 3_600 + 59 * 60 + 7),
    ],
)
def test_what_a_date_means(text: str, seconds: float) -> None:
    assert calendar_seconds([text], "time") == {text: seconds}


@pytest.mark.parametrize(
    "text",
    [
        "2024-12-31",
        "31/12.2024",
        "31/12/24",
        "31/2/2024",
        "13/13/2024",
        "1/31/2024 25:00",
        "v1.2.2024",
        "31/12/2024 8",
        "",
        "1/2/20245",
    ],
)
def test_what_is_none(text: str) -> None:
    assert not is_calendar_date(text)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1/2/2024", "3/4/2024"], "time holds dates, but nothing in it tells whether '1/2/2024' begins with the day"),
        (["31/1/2024", "1/31/2024"], "'31/1/2024' begins with the day and '1/31/2024' with the month"),
    ],
)
def test_what_cannot_be_read_is_said(texts: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        calendar_seconds(texts, "time")
