import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from index_builder.rejects import Reject, RejectKind, Rejects
from index_builder.tables import read_rows
from models.errors import DataError

Lines = list[tuple[int, dict]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, bytes], tuple[Lines, list[Reject]]]:
    def _read(name: str, content: bytes) -> tuple[Lines, list[Reject]]:
        (tmp_path / name).write_bytes(content)
        rejects = Rejects()
        rows = [(row.line, row.values) for row in read_rows(tmp_path / name, rejects)]
        return rows, [reject for examples in rejects.examples.values() for reject in examples]

    return _read


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        (b'{"id": "b"', RejectKind.BROKEN_JSON, "the line is not JSON: unexpected end of data"),
        (b'{"id": "\\ud800"}', RejectKind.BROKEN_JSON, "the line is not JSON: "),
        (b"[" * 3000, RejectKind.BROKEN_JSON, "the line is not JSON: "),
        (b'{"id": NaN, "x": "\\ud800"}', RejectKind.BROKEN_JSON, "the line is not JSON: "),
        (b'["b"]', RejectKind.BAD_ROW, "the line is the list ['b']; each line has to be one JSON object"),
        (b"null", RejectKind.BAD_ROW, "the line is the NoneType None"),
        (b'{"id": "caf\xe9"}', RejectKind.INVALID_UTF8, "byte 12 of the row, 0xe9, is not UTF-8"),
        (b'{"id": "\xed\xa0\x80"}', RejectKind.INVALID_UTF8, "byte 9 of the row, 0xed, is not UTF-8"),
    ],
)
def test_a_bad_json_line_is_rejected_and_no_other(read, tmp_path, line, kind, reason) -> None:
    rows, rejects = read("t.jsonl", b'{"id": "a"}\n' + line + b'\n{"id": "c"}')
    assert rows == [(1, {"id": "a"}), (3, {"id": "c"})]
    assert [(r.file, r.line, r.kind) for r in rejects] == [(str(tmp_path / "t.jsonl"), 2, kind)]
    assert rejects[0].reason.startswith(reason)


def test_json_lines_may_have_a_byte_order_mark_blank_lines_and_windows_ends(read) -> None:
    rows, rejects = read("t.jsonl", b'\xef\xbb\xbf{"id": "a"}\r\n\r\n  \n{"id": "b\\n"}')
    assert rows == [(1, {"id": "a"}), (4, {"id": "b\n"})]
    assert not rejects


def test_missing_numbers_as_python_writes_them_are_null(read) -> None:
    rows, rejects = read("t.jsonl", b'{"id": "NaN", "price": NaN, "x": [-Infinity, 1]}\n')
    assert rows == [(1, {"id": "NaN", "price": None, "x": [None, 1]})]
    assert not rejects


@pytest.mark.parametrize(
    ("record", "kind", "reason"),
    [
        (b"b,x,y", RejectKind.BAD_ROW, "the row has 3 cells, the header has 2: ['b', 'x', 'y']"),
        (b"b", RejectKind.BAD_ROW, "the row has 1 cells, the header has 2: ['b']"),
        (b'b,"x" y', RejectKind.BAD_ROW, "the row is not CSV: "),
        (b"b\rb,x", RejectKind.BAD_ROW, "the row is not CSV: "),
        (b"b,caf\xe9", RejectKind.INVALID_UTF8, "byte 6 of the row, 0xe9, is not UTF-8"),
        (b'b,"two\nlines \xe9 "', RejectKind.INVALID_UTF8, "byte 14 of the row, 0xe9, is not UTF-8"),
    ],
)
def test_a_bad_csv_row_is_rejected_and_no_other(read, tmp_path, record, kind, reason) -> None:
    rows, rejects = read("t.csv", b"id,title\na,1\n" + record + b"\nc,3\n")
    assert [values for _, values in rows] == [{"id": "a", "title": "1"}, {"id": "c", "title": "3"}]
    assert [(r.file, r.line, r.kind) for r in rejects] == [(str(tmp_path / "t.csv"), 3, kind)]
    assert rejects[0].reason.startswith(reason)


@pytest.mark.parametrize("end", [b"", b'\nd,"4"\n', b'\nd,"4\n4"\n'])
def test_a_quote_that_nobody_closes_costs_its_own_line_only(read, end: bytes) -> None:
    rows, rejects = read("t.csv", b'id,title\na,1\nb,"2\nc,3' + end)
    assert [values["id"] for _, values in rows] == (["a", "c", "d"] if end else ["a", "c"])
    assert [line for line, _ in rows] == ([2, 4, 5] if end else [2, 4])
    assert [(r.line, r.kind) for r in rejects] == [(3, RejectKind.BAD_ROW)]


def test_csv_cells_hold_commas_quotes_and_line_breaks(read) -> None:
    rows, rejects = read("t.csv", b'id,title\r\na,"one, ""two""\r\n\r\nthree"\r\n\r\nb,x\r\n')
    assert rows == [
        (2, {"id": "a", "title": 'one, "two"\r\n\r\nthree'}),
        (6, {"id": "b", "title": "x"}),
    ]
    assert not rejects


def test_an_empty_csv_cell_is_none_and_a_number_a_string(read) -> None:
    assert read("t.csv", b"id,title,price\n007,,1.50\n")[0] == [(2, {"id": "007", "title": None, "price": "1.50"})]


def test_a_csv_file_may_have_a_byte_order_mark(read) -> None:
    assert read("t.csv", b"\xef\xbb\xbfid\na\n")[0] == [(2, {"id": "a"})]


def test_a_csv_cell_may_be_a_whole_page(read) -> None:
    page = "x" * 1_000_000
    assert read("t.csv", f"id,title\na,{page}\n".encode())[0] == [(2, {"id": "a", "title": page})]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"id,t\xe9", "line 1, the header: byte 5 of the row, 0xe9, is not UTF-8"),
        (b"id,title,id", "line 1, the header: names the column 'id' twice"),
        (b'id,"title" x', "line 1, the header: the row is not CSV"),
    ],
)
def test_a_csv_header_that_cant_be_used_ends_the_build(read, header: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read("t.csv", header + b"\na,b\n")


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_rows(read, name: str, content: bytes) -> None:
    assert read(name, content) == ([], [])


@pytest.mark.parametrize("name", ["t.jsonl.gz", "t.csv.gz"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"not gzip",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-8] + bytes(8),
        lambda whole: whole[:20] + bytes(20) + whole[40:],
    ],
    ids=["no gzip", "cut", "wrong checksum", "overwritten"],
)
def test_a_damaged_gzip_file_ends_the_build(read, name: str, damage: Callable[[bytes], bytes]) -> None:
    lines = b"".join(b'{"id": "%d"}\n' % n for n in range(1000))
    with pytest.raises(DataError, match=rf"{name} can't be read: .*; check that it is whole"):
        read(name, damage(gzip.compress(lines)))
