from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index_builder.rejects import RejectKind, Rejects
from index_builder.tables import Row, read_rows
from models.errors import DataError

NOT_UTF8 = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers())


def read(path: Path, table: pa.Table, rejects: Rejects | None = None, **options: object) -> list[Row]:
    pq.write_table(table, path / "t.parquet")
    return list(read_rows(path / "t.parquet", rejects or Rejects(), **options))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
        (pa.array(["é".encode(), b"x"], pa.binary()), ["é", "x"]),
        (pa.array([7, None], pa.int32()), [7, None]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([True, None]), [True, None]),
        (pa.array([1.5, float("nan"), float("inf"), None]), [1.5, None, None, None]),
        (pa.array([0.5], pa.float16()), [0.5]),
        (pa.array([Decimal(7)], pa.decimal128(38, 0)), [7]),
        (pa.array([Decimal("7.50")]), [7.5]),
        (pa.array([["x", "y"], None, []]), [["x", "y"], None, []]),
        (pa.array([[1.0, float("nan")]]), [[1.0, None]]),
        (pa.array([{"en": "x", "at": date(2024, 1, 2)}]), [{"en": "x", "at": "2024-01-02"}]),
        (pa.array([datetime(2024, 1, 2, 3, 4, 5)]), ["2024-01-02T03:04:05"]),
        (pa.array([datetime(2024, 1, 2, 3, 4, 5, 600_000), None]), ["2024-01-02T03:04:05.600000", None]),
        (pa.array([1_500_000_001], pa.timestamp("ns")), ["1970-01-01T00:00:01.500000001"]),
        (
            pa.array([datetime(2024, 1, 2, 1, tzinfo=timezone(timedelta(hours=2)))], pa.timestamp("us", "+02:00")),
            ["2024-01-01T23:00:00Z"],
        ),
        (pa.array([date(2024, 1, 2)]), ["2024-01-02"]),
        (pa.array([time(12, 30)]), ["12:30:00"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_values_are_plain_json(tmp_path: Path, column: pa.Array, values: list) -> None:
    read_values = [row.values["x"] for row in read(tmp_path, pa.table({"x": column}))]
    assert read_values == values
    assert [type(value) for value in read_values] == [type(value) for value in values]


def test_a_year_that_python_cant_hold_is_no_end_of_the_build(tmp_path: Path) -> None:
    rows = read(tmp_path, pa.table({"x": pa.array([2**63 - 1], pa.timestamp("us"))}))
    assert isinstance(rows[0].values["x"], str)


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x.cast(pa.binary())], ids=["string", "binary"])
def test_text_that_is_not_utf8_is_rejected(tmp_path: Path, make: Callable[[pa.Array], pa.Array]) -> None:
    rejects = Rejects()
    rows = read(tmp_path, pa.table({"n": [1, 2, 3], "x": make(NOT_UTF8)}), rejects)
    assert [(row.line, row.values["x"]) for row in rows] == [(1, "a"), (3, "c")]
    assert [str(r) for r in rejects.examples[RejectKind.INVALID_UTF8]] == [
        f"{tmp_path / 't.parquet'} line 2: x is not UTF-8 (invalid_utf8)"
    ]


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    rows = read(tmp_path, pa.table({"id": [1, 2], "big": ["x", "y"]}), columns=["id", "other"])
    assert [row.values for row in rows] == [{"id": 1}, {"id": 2}]


def test_rows_without_any_of_the_columns_are_still_rows(tmp_path: Path) -> None:
    rows = read(tmp_path, pa.table({"id": [1, 2]}), columns=["other"])
    assert [(row.line, row.values) for row in rows] == [(1, {}), (2, {})]


def test_rows_are_numbered_through_batches_and_row_groups(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": range(1, 10_001)}), tmp_path / "t.parquet", row_group_size=3_000)
    rows = list(read_rows(tmp_path / "t.parquet", Rejects()))
    assert [row.line for row in rows] == [row.values["n"] for row in rows] == list(range(1, 10_001))


def test_a_file_is_not_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [0]
    batches = pq.ParquetFile.iter_batches

    def counted(*args: object, **options: object):
        for batch in batches(*args, **options):
            rows[0] += batch.num_rows
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    pq.write_table(pa.table({"n": range(50_000)}), tmp_path / "t.parquet")
    next(read_rows(tmp_path / "t.parquet", Rejects()))
    assert rows[0] < 10_000


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all"])
def test_a_file_that_is_no_parquet_ends_the_build(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet can't be read as Parquet: "):
        list(read_rows(tmp_path, Rejects()))


def test_a_damaged_page_ends_the_build(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [f"text {n}" for n in range(5000)]}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(DataError, match="can't be read as Parquet"):
        list(read_rows(path, Rejects()))
