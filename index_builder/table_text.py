"""JSON lines and CSV, plain or gzipped, as (line, values) pairs; a row that can't be parsed is handed to `reject`.

Reads line by line as bytes, so that one invalid byte costs one row. Knows no columns.
"""

import csv
import gzip
import json
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, cast

import orjson

from index_builder.rejects import RejectKind, RowError, show
from models.errors import DataError

RejectRow = Callable[[RowError, int, object], None]
"""Takes a rejected row: what is wrong, its line, the row as read."""

_BOM = b"\xef\xbb\xbf"
# A cell may carry a page of HTML with its pictures; the csv module's own limit of 131,072 is for spreadsheets.
_MAX_CELL_CHARS = 16 * 2**20


def jsonl_rows(file: Path, reject: RejectRow) -> Iterator[tuple[int, dict[str, object]]]:
    """Yields the objects of a file of JSON lines with their line numbers, from 1; skips blank lines.

    Raises:
        DataError: The file can't be read, or not to its end.
    """
    with _open(file) as stream:
        for line, raw in enumerate(_lines(stream), start=1):
            if not raw.strip():
                continue
            try:
                values = _json_object(raw)
            except RowError as error:
                reject(error, line, raw.rstrip(b"\r\n"))
            else:
                yield line, values


def csv_rows(file: Path, reject: RejectRow) -> Iterator[tuple[int, dict[str, object]]]:
    """Yields the rows of a CSV file by the names in its header, each with the line on which it starts, from 1.

    A cell is a string, an empty one None. Quoted cells may hold commas, quotes (doubled) and line breaks.

    Raises:
        DataError: The file can't be read, or not to its end, or its header can't be used.
    """
    with _open(file) as stream:
        records = _csv_records(stream)
        header = _csv_header(file, records)
        for line, raw, cells in records:
            try:
                yield line, _csv_values(raw, cells, header)
            except RowError as error:
                reject(error, line, raw.rstrip(b"\r\n"))


@contextmanager
def _open(file: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
            yield cast(IO[bytes], stream)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} can't be read: {error}; check that it is whole and readable") from error


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    for first in islice(stream, 1):
        yield first.removeprefix(_BOM)
    yield from stream


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError(
            RejectKind.INVALID_UTF8, f"byte {error.start + 1} of the row, {raw[error.start]:#04x}, is not UTF-8"
        ) from None


def _json_object(raw: bytes) -> dict[str, object]:
    text = _decoded(raw)
    try:
        value = _json_value(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise RowError(RejectKind.BROKEN_JSON, f"the line is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RowError(
            RejectKind.BAD_ROW,
            f"the line is the {type(value).__name__} {show(value)}; each line has to be one JSON object",
        )
    return value


def _json_value(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if "NaN" not in text and "Infinity" not in text:
            raise
        # Python's json module writes these for missing numbers; the way through orjson makes them null.
        return orjson.loads(orjson.dumps(json.loads(text)))


class _CsvLines:
    """The lines that csv.reader asks for, with memory of those that make up the current record."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.record: list[bytes] = []
        self.start = 1
        self._lines = _lines(stream)
        self._again: deque[bytes] = deque()

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        raw = self._again.popleft() if self._again else next(self._lines)
        self.record.append(raw)
        return raw.decode("utf-8", "backslashreplace")

    def next_record(self, used: int) -> None:
        """Starts a record after `used` lines of the current one; what is left of it is read again."""
        self._again.extendleft(reversed(self.record[used:]))
        self.start += used
        self.record.clear()


def _csv_records(stream: IO[bytes]) -> Iterator[tuple[int, bytes, list[str] | csv.Error]]:
    csv.field_size_limit(_MAX_CELL_CHARS)
    lines = _CsvLines(stream)
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A quote that nobody closes swallows the rows below it: only its own line is given up.
            yield lines.start, lines.record[0], error
            lines.next_record(1)
            continue
        raw = b"".join(lines.record)
        if raw.strip():
            yield lines.start, raw, cells
        lines.next_record(len(lines.record))


def _csv_header(file: Path, records: Iterator[tuple[int, bytes, list[str] | csv.Error]]) -> list[str]:
    for line, raw, cells in islice(records, 1):
        try:
            names = _csv_cells(raw, cells)
        except RowError as error:
            raise DataError(f"{file} line {line}, the header: {error.reason}") from None
        twice = [name for name, n in Counter(names).items() if n > 1 and name]
        if twice:
            raise DataError(f"{file} line {line}, the header: names the column {twice[0]!r} twice; rename one")
        return names
    return []


def _csv_values(raw: bytes, cells: list[str] | csv.Error, header: list[str]) -> dict[str, object]:
    cells = _csv_cells(raw, cells)
    if len(cells) != len(header):
        raise RowError(
            RejectKind.BAD_ROW, f"the row has {len(cells)} cells, the header has {len(header)}: {show(cells)}"
        )
    return {name: cell or None for name, cell in zip(header, cells, strict=True)}


def _csv_cells(raw: bytes, cells: list[str] | csv.Error) -> list[str]:
    _decoded(raw)
    if isinstance(cells, csv.Error):
        raise RowError(RejectKind.BAD_ROW, f"the row is not CSV: {cells}")
    return cells
