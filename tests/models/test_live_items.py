import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.live_items import Change, KnownVector, LiveRecord, join, next_seq, text_of
from models.text import TextRecipe

KNOWN = KnownVector("space", b"0123456789abcdef", np.array([0.6, 0.8], np.float32))
ROW = {"title": "catalogue", "price": 1}


def joined(*fields: dict | None) -> LiveRecord:
    record = None
    for seq, one in enumerate(fields, start=1):
        record = join(record, Change("i", one), seq)
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([{"price": 2}], {"title": "catalogue", "price": 2}),
        ([{"price": 2}, {"title": "live"}], {"title": "live", "price": 2}),
        ([{"price": 2}, {"price": None}], {"title": "catalogue", "price": None}),
        ([None, {"title": "back"}], {"title": "back"}),
        ([{"price": 2}, None, {"title": "back"}, {"price": 3}], {"title": "back", "price": 3}),
    ],
)
def test_changes_join_field_by_field_over_the_catalogue_until_a_deletion(changes, expected) -> None:
    assert joined(*changes).over(ROW) == expected


def test_a_deletion_is_the_last_word_until_the_item_comes_back() -> None:
    assert joined({"price": 2}, None).is_deleted
    assert joined({"price": 2}, None).seq == 2
    assert not joined(None, {"price": 2}).is_deleted


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (0, {"title": "live", "price": 3}),
        (1, {"title": "catalogue", "price": 3}),
        (2, {"title": "catalogue", "price": 3}),
        (3, {"title": "catalogue", "price": 1}),
    ],
)
def test_an_artifact_takes_only_what_came_after_its_cut(since, expected) -> None:
    assert joined({"title": "live"}, {"price": 2}, {"price": 3}).over(ROW, since) == expected


def test_a_deletion_before_the_cut_is_in_the_catalogue_and_hides_nothing_of_it() -> None:
    record = joined(None, {"title": "back"}, {"price": 2})
    assert record.over(ROW, 0) == {"title": "back", "price": 2}
    assert record.over(ROW, 1) == {"title": "back", "price": 2}
    assert record.over(ROW, 2) == {"title": "catalogue", "price": 2}


def test_an_embedding_stays_until_another_comes() -> None:
    record = join(join(None, Change("i", {"title": "x"}, KNOWN), 1), Change("i", {"price": 1}), 2)
    assert record.known is KNOWN
    assert join(record, Change("i", None), 3).known is None


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.tuples(st.integers(-9, 9), st.integers(1, 9))
    ),
    st.integers(0, 9),
)
def test_a_record_comes_back_from_its_bytes(fields, deleted_at) -> None:
    record = LiveRecord("i", 7, fields, deleted_at, KNOWN)
    back = LiveRecord.from_bytes("i", record.to_bytes())
    assert (back.id, back.seq, back.fields, back.deleted_at) == ("i", 7, fields, deleted_at)
    assert back.known is not None
    assert (back.known.space, back.known.text_hash) == (KNOWN.space, KNOWN.text_hash)
    np.testing.assert_array_equal(back.known.embedding, KNOWN.embedding)
    assert LiveRecord.from_bytes("i", LiveRecord("i", 7, fields, deleted_at, None).to_bytes()).known is None


def test_numbers_grow_even_where_the_clock_goes_back() -> None:
    assert next_seq(0, 1.5) == 1_500_000
    assert next_seq(1_500_000, 1.0) == 1_500_001


def test_a_text_is_read_as_from_a_catalogue() -> None:
    fields = {"title": "<b>Boots</b>", "tags": ["red", "warm"], "size": 43, "none": None}
    assert text_of(fields, ["title", "size", "tags", "none", "missing"], TextRecipe()) == "Boots 43 red warm"
