"""Parquet files as (row number, values) pairs with plain JSON values, a batch of rows in memory at a time."""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from index_builder.rejects import RejectKind, RowError
from index_builder.table_text import RejectRow
from models.errors import DataError

_BATCH_ROWS = 4096
_READ_BYTES = 2**20


def column_names(file: Path) -> list[str]:
    """Returns the columns of a Parquet file.

    Raises:
        DataError: The file can't be read.
    """
    with _open(file) as table:
        return list(table.schema_arrow.names)


def parquet_rows(
    file: Path, reject: RejectRow, *, columns: Collection[str] | None
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yields the rows of a Parquet file with their numbers, from 1.

    Dates and times become ISO 8601 strings (in UTC where they have a zone), NaN and infinities None, decimals
    numbers, bytes text.

    Args:
        file: The file.
        reject: Takes rows with text that is not UTF-8.
        columns: What is read, where the file has it; None reads everything.

    Raises:
        DataError: The file can't be read, or not to its end.
    """
    number = 0
    with _open(file) as table:
        names = [name for name in table.schema_arrow.names if columns is None or name in columns]
        for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=names):
            lists = [_values(column) for column in batch.columns]
            for cells in zip(*lists, strict=True) if lists else [()] * batch.num_rows:
                number += 1
                values = dict(zip(names, cells, strict=True))
                if bytes in map(type, cells):
                    reject(_not_utf8(values), number, values)
                else:
                    yield number, values


@contextmanager
def _open(file: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(file, buffer_size=_READ_BYTES) as table:
            yield table
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{file} can't be read as Parquet: {error}; write it again") from error


def _values(column: pa.Array) -> list[object]:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        column = _iso(column)
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pa.binary()).to_pylist()
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return list(values)
    return [_plain(value) for value in values]


def _iso(column: pa.Array) -> pa.Array:
    # Arrow formats what Python's datetime can't hold: nanoseconds, and years that stand for "never".
    zone = ""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column, zone = column.cast(pa.timestamp(column.type.unit)), "Z"
    text = pc.replace_substring_regex(column.cast(pa.string()), r"\.0+$", "")
    return pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), zone, "")


def _plain(value: object) -> object:
    match value:
        case None | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case bytes():
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                return value
        case list() | tuple():
            return [_plain(part) for part in value]
        case dict():
            return {str(name): _plain(part) for name, part in value.items()}
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return int(value) if value.as_tuple().exponent == 0 else float(value)
    return str(value)


def _not_utf8(values: dict[str, object]) -> RowError:
    name = next(name for name, value in values.items() if isinstance(value, bytes))
    return RowError(RejectKind.INVALID_UTF8, f"{name} is not UTF-8")
