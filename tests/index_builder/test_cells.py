import pytest

from index_builder.cells import MAX_ID_CHARS, read_attribute, read_id, read_number, read_text
from index_builder.rejects import RejectKind, RowError


@pytest.mark.parametrize(
    ("value", "item_id"),
    [("a", "a"), (" a ", " a "), ("007", "007"), ("商品", "商品"), (7, "7"), (-1, "-1"), (2**80, str(2**80))],
)
def test_ids(value: object, item_id: str) -> None:
    assert read_id(value, "item_id") == item_id


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (None, RejectKind.NO_ID, "item_id is missing"),
        ("", RejectKind.NO_ID, "item_id is blank"),
        (" \t\u3000", RejectKind.NO_ID, "item_id is blank"),
        (True, RejectKind.WRONG_TYPE, "item_id is the bool True"),
        (12.0, RejectKind.WRONG_TYPE, "item_id is the float 12.0, it has to be a string or an integer"),
        (["a"], RejectKind.WRONG_TYPE, "item_id is the list ['a']"),
        ("x" * (MAX_ID_CHARS + 1), RejectKind.LONG_ID, "item_id has 513 characters"),
    ],
)
def test_what_is_no_id(value: object, kind: RejectKind, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        read_id(value, "item_id")
    assert caught.value.kind is kind
    assert caught.value.reason.startswith(reason)


def test_the_longest_id() -> None:
    assert read_id("x" * MAX_ID_CHARS, "item_id") == "x" * MAX_ID_CHARS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ("a\nb", "a\nb"),
        (1984, "1984"),
        (2.5, "2.5"),
        (["x", "y z"], "x y z"),
        ([], ""),
    ],
)
def test_texts(value: object, text: str) -> None:
    assert read_text(value, "title") == text


@pytest.mark.parametrize("value", [True, {"en": "x"}, ["x", 1], ["x", None], [["x"]]])
def test_what_is_no_text(value: object) -> None:
    with pytest.raises(RowError, match=r"title is the .* has to be a string, a number or a list") as caught:
        read_text(value, "title")
    assert caught.value.kind is RejectKind.WRONG_TYPE


@pytest.mark.parametrize(("value", "number"), [(4, 4.0), (4.5, 4.5), ("4.5", 4.5), ("-1e3", -1000.0), (" 4 ", 4.0)])
def test_numbers(value: object, number: float) -> None:
    assert read_number(value) == number


@pytest.mark.parametrize("value", [None, True, "", "four", "nan", float("nan"), float("inf"), "1e999", [4]])
def test_what_is_no_number(value: object) -> None:
    assert read_number(value) is None


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", [], ["x", 1, None, False], 2**63 - 1, -(2**63)])
def test_attributes_keep_their_type(value: object) -> None:
    kept = read_attribute(value, "price")
    assert kept == value
    assert type(kept) is type(value)


@pytest.mark.parametrize("value", [{"a": 1}, [[1]], [{}], 2**63, [2**63], b"\xff"])
def test_what_is_no_attribute(value: object) -> None:
    with pytest.raises(RowError, match="price is the") as caught:
        read_attribute(value, "price")
    assert caught.value.kind is RejectKind.WRONG_TYPE


def test_a_reason_stays_short() -> None:
    with pytest.raises(RowError) as caught:
        read_text({"long": "x" * 10_000}, "title")
    assert len(caught.value.reason) < 250
