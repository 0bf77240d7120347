import csv
import gzip
import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.catalogue import Catalogue, read_catalogue
from index_builder.config import CatalogueConfig
from index_builder.rejects import RejectKind, Rejects
from models.errors import DataError
from models.types import Item


def to_text(parts: Sequence[str]) -> str:
    return " ".join(" ".join(parts).split())


def read(path: Path, *, named: Collection[str] = (), rejects: Rejects | None = None, **config: object) -> Catalogue:
    settings = {"id": "id", "text": ["title"], "max_reject_share": 1.0} | config
    return read_catalogue(
        CatalogueConfig(path=path, **settings), to_text=to_text, named=named, rejects=rejects or Rejects()
    )


def jsonl(path: Path, *rows: dict | str) -> Path:
    path.write_text("".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "items.jsonl"


GOOD = {"id": "good", "title": "Good"}


def test_an_item_has_its_columns_as_text_and_as_fields(table: Path) -> None:
    jsonl(
        table,
        {"id": 7, "title": "Red  mug", "tags": ["cup", "red"], "price": 4.5, "year": 1984, "left": "out"},
        {"id": "b", "title": "Blue mug", "new": True},
    )
    catalogue = read(table, text=["year", "tags", "title"], attributes=["price", "tags", "new"])
    first = {"year": 1984, "tags": ["cup", "red"], "title": "Red  mug", "price": 4.5, "new": None}
    second = {"year": None, "tags": None, "title": "Blue mug", "price": None, "new": True}
    assert catalogue == Catalogue(
        [Item("7", "1984 cup red Red mug", first), Item("b", "Blue mug", second)], [], n_rows=2
    )


def test_the_recipe_gets_every_text_column_in_its_place(table: Path) -> None:
    jsonl(table, {"id": "a", "title": "x"}, {"id": "b", "title": "y", "brand": "z"})
    seen: list[Sequence[str]] = []

    def recipe(parts: Sequence[str]) -> str:
        seen.append(list(parts))
        return "text"

    config = CatalogueConfig(path=table, id="id", text=["brand", "title"])
    read_catalogue(config, to_text=recipe, named=(), rejects=Rejects())
    assert seen == [["", "x"], ["z", "y"]]


@pytest.mark.parametrize(
    ("row", "kind", "reason"),
    [
        ({"title": "x"}, RejectKind.NO_ID, "id is missing"),
        ({"id": " ", "title": "x"}, RejectKind.NO_ID, "id is blank"),
        ({"id": "x" * 513, "title": "x"}, RejectKind.LONG_ID, "id has 513 characters"),
        ({"id": 12.0, "title": "x"}, RejectKind.WRONG_TYPE, "id is the float 12.0"),
        ({"id": "b", "title": {"en": "x"}}, RejectKind.WRONG_TYPE, "title is the dict {'en': 'x'}"),
        ({"id": "b", "title": "x", "price": {"eur": 1}}, RejectKind.WRONG_TYPE, "price is the dict"),
        ({"id": "b", "title": " \n"}, RejectKind.EMPTY_TEXT, "title: no text is left after cleaning"),
        ({"id": "b"}, RejectKind.EMPTY_TEXT, "title: no text is left after cleaning"),
        ({"id": "good", "title": "x"}, RejectKind.DUPLICATE_ID, "id 'good' is taken by "),
        ('{"id": "b"', RejectKind.BROKEN_JSON, "the line is not JSON"),
        ('"b"', RejectKind.BAD_ROW, "the line is the str 'b'"),
    ],
)
def test_a_bad_row_is_shown_and_written_whole(
    tmp_path: Path, table: Path, row: dict | str, kind: RejectKind, reason: str
) -> None:
    jsonl(table, GOOD | {"price": 1}, row, GOOD | {"id": "last"})
    with Rejects(tmp_path / "rejects.jsonl") as rejects:
        catalogue = read(table, attributes=["price"], rejects=rejects)
    assert [item.id for item in catalogue.items] == ["good", "last"]
    assert catalogue.n_rows == 3
    (example,) = rejects.examples[kind]
    assert (example.file, example.line) == (str(table), 2)
    assert example.reason.startswith(reason)
    written = json.loads((tmp_path / "rejects.jsonl").read_text())
    assert written == {"file": str(table), "line": 2, "kind": kind, "reason": example.reason, "row": row}


def test_a_duplicate_says_where_the_first_is_and_a_rejected_row_takes_no_id(table: Path) -> None:
    rejects = Rejects()
    jsonl(table, {"id": "a", "title": [1]}, {"id": "a", "title": "second"}, {"id": "a", "title": "third"})
    assert [item.text for item in read(table, rejects=rejects).items] == ["second"]
    assert rejects.examples[RejectKind.DUPLICATE_ID][0].reason == (
        f"id 'a' is taken by {table} line 2; the first row stays"
    )


def test_an_integer_and_its_digits_are_the_same_id(table: Path) -> None:
    rejects = Rejects()
    jsonl(table, {"id": 7, "title": "x"}, {"id": "7", "title": "y"}, {"id": "07", "title": "z"})
    assert [item.id for item in read(table, rejects=rejects).items] == ["7", "07"]
    assert rejects.counts == {RejectKind.DUPLICATE_ID: 1}


def test_an_item_without_text_stays_with_a_warning_where_interactions_name_it(table: Path) -> None:
    rejects = Rejects()
    jsonl(table, GOOD, *({"id": f"i{n}", "title": ""} for n in range(8)))
    catalogue = read(table, named={f"i{n}" for n in range(1, 8)}, rejects=rejects)
    assert [item.id for item in catalogue.items] == ["good", *(f"i{n}" for n in range(1, 8))]
    assert catalogue.items[1].text == ""
    assert catalogue.warnings == ["7 items have no text and stay because interactions name them: i1, i2, i3, i4, i5, …"]
    assert rejects.counts == {RejectKind.EMPTY_TEXT: 1}


@pytest.mark.parametrize(("n_bad", "passes"), [(1, True), (2, False)])
def test_one_percent_of_bad_rows_passes_and_no_more(table: Path, n_bad: int, passes: bool) -> None:
    good = [{"id": n, "title": "x"} for n in range(100 - n_bad)]
    jsonl(table, *good, *[{"title": "no id"}] * n_bad)
    config = CatalogueConfig(path=table, id="id", text=["title"])
    if passes:
        assert len(read_catalogue(config, to_text=to_text, named=(), rejects=Rejects()).items) == 99
    else:
        with pytest.raises(DataError, match=r"2 of 100 catalogue rows .* line 99: id is missing \(no_id\)"):
            read_catalogue(config, to_text=to_text, named=(), rejects=Rejects())


@pytest.mark.parametrize(("role", "name"), [("id", "item"), ("text", "titel"), ("attributes", "preis")])
def test_a_column_that_no_row_has_ends_the_build(table: Path, role: str, name: str) -> None:
    jsonl(table, GOOD | {"price": 1})
    rejects = Rejects()
    with pytest.raises(DataError, match=f"has a column '{name}', there are id, title, price"):
        read(table, rejects=rejects, **{role: name if role == "id" else [name]})
    assert not rejects.total


@pytest.mark.parametrize("rows", [[], [{"id": "a", "title": ""}], ["broken"]])
def test_a_catalogue_without_items_ends_the_build(table: Path, rows: list[dict | str]) -> None:
    with pytest.raises(DataError, match=rf"holds no usable item in {len(rows)} rows"):
        read(jsonl(table, *rows))


def test_a_folder_of_mixed_files_is_one_catalogue(tmp_path: Path) -> None:
    jsonl(tmp_path / "1.jsonl", {"id": "a", "title": "A"})
    (tmp_path / "2.csv").write_text("title,id,extra\nB,b,x\nA again,a,x\nno id,,x\n")
    pq.write_table(pa.table({"id": [3, None], "title": ["C", "D"]}), tmp_path / "3.parquet")
    rejects = Rejects()
    catalogue = read(tmp_path, rejects=rejects)
    assert [(item.id, item.text) for item in catalogue.items] == [("a", "A"), ("b", "B"), ("3", "C")]
    assert catalogue.n_rows == 6
    assert [str(r) for kind in rejects.examples for r in rejects.examples[kind]] == [
        f"{tmp_path}/2.csv line 3: id 'a' is taken by {tmp_path}/1.jsonl line 1; the first row stays (duplicate_id)",
        f"{tmp_path}/2.csv line 4: id is missing (no_id)",
        f"{tmp_path}/3.parquet line 2: id is missing (no_id)",
    ]


def test_dates_of_a_parquet_file_are_fields_as_iso_strings(tmp_path: Path) -> None:
    at = pa.array([1_700_000_000_000], pa.timestamp("ms"))
    pq.write_table(pa.table({"id": ["a"], "title": ["A"], "at": at}), tmp_path / "t.parquet")
    assert read(tmp_path, attributes=["at"]).items[0].fields["at"] == "2023-11-14T22:13:20"


_SCRIPTS = "中文東京こんにちはカタカナ한국🙂👩‍👩‍👧🇩🇪שלוםمرحبا\"'\\,;\n\r\t\u2028\u0085\ufeff é́"
_TEXT = st.text(st.sampled_from(_SCRIPTS) | st.characters(exclude_categories=["Cs"]), min_size=1)


@given(
    st.lists(st.tuples(_TEXT.filter(str.strip), _TEXT.filter(str.strip), _TEXT), min_size=1, unique_by=lambda r: r[0])
)
def test_the_same_rows_give_the_same_items_through_every_format(rows: list[tuple[str, str, str]]) -> None:
    columns = ["id", "title", "brand"]
    objects = [dict(zip(columns, row, strict=True)) for row in rows]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in objects).encode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "t.jsonl").write_bytes(lines)
        (folder / "t.jsonl.gz").write_bytes(gzip.compress(lines, 1))
        with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        pq.write_table(pa.Table.from_pylist(objects), folder / "t.parquet")
        expected = [Item(id, to_text([title]), {"title": title, "brand": brand}) for id, title, brand in rows]
        for path in folder.iterdir():
            rejects = Rejects()
            catalogue = read(path, attributes=["brand"], rejects=rejects)
            assert (path.name, catalogue.items, rejects.total) == (path.name, expected, 0)
