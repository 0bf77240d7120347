"""Streams the rows of a table: one file, or a folder of JSON lines, CSV and Parquet files, in bounded memory.

Rows that can't be parsed become rejects; a file that can't be read ends the build. Knows no meaning of columns.
"""

import difflib
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from index_builder.rejects import Rejects, RowError
from index_builder.table_parquet import column_names, parquet_rows
from index_builder.table_text import csv_rows, jsonl_rows
from models.errors import DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
_SHOWN_COLUMNS = 20


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        values: JSON values by column. CSV has no types: a cell is a string, an empty one None. Dates and
            times of a Parquet file are ISO 8601 strings, its NaN and infinities None.
        file: The file it is in.
        line: The line on which it starts, in a Parquet file its row number; from 1.
    """

    values: dict[str, object]
    file: str
    line: int


def read_rows(path: Path, rejects: Rejects, *, columns: Collection[str] | None = None) -> Iterator[Row]:
    """Yields the rows of a file, or of all files of a folder in the order of their paths.

    Blank lines and a byte order mark are skipped. In a folder, names that begin with "." or "_" are left out:
    Spark and its kin keep their notes there.

    Args:
        path: File or folder.
        rejects: Takes the rows that can't be parsed.
        columns: What is read of a Parquet file, by default everything; rows of text are read whole anyway.

    Raises:
        DataError: `path` is missing, an empty folder or of an unknown format, or a file can't be read.
    """
    for file in _files(path):
        name = str(file)
        for line, values in _rows(file, rejects, columns=columns):
            yield Row(values, name, line)


def require_columns(path: Path, wanted: Iterable[str]) -> None:
    """Makes sure that each column is in some row; reads up to the row that settles it, usually the first.

    Raises:
        DataError: A column is in no row; or as in `read_rows`.
    """
    missing = dict.fromkeys(wanted)
    seen: dict[str, None] = {}
    for file in _files(path):
        for names in _column_names(file):
            seen |= dict.fromkeys(names)
            missing = {name: None for name in missing if name not in names}
            if not missing:
                return
    # Where no row could be read at all, columns are not what is wrong: reading the rows tells what is.
    if seen:
        raise DataError("; ".join(_explain_missing(name, path, list(seen)) for name in missing))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and not any(part[0] in "._" for part in file.relative_to(path).parts)
        )
        if not files:
            raise DataError(f"the folder {path} holds no table; put {_supported()} files into it")
        return files
    if not path.exists():
        raise DataError(f"{path} does not exist; it has to be a {_supported()} file or a folder of them")
    return [path]


def _rows(file: Path, rejects: Rejects, *, columns: Collection[str] | None) -> Iterator[tuple[int, dict[str, object]]]:
    def reject(error: RowError, line: int, row: object) -> None:
        rejects.add(error, file=str(file), line=line, row=row)

    match _suffix(file):
        case ".parquet":
            return parquet_rows(file, reject, columns=columns)
        case ".csv" | ".csv.gz":
            return csv_rows(file, reject)
        case _:
            return jsonl_rows(file, reject)


def _suffix(file: Path) -> str:
    for suffix in SUFFIXES:
        if file.name.lower().endswith(suffix):
            return suffix
    raise DataError(f"{file} is of no format that can be read; supported are {_supported()}")


def _supported() -> str:
    return f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def _column_names(file: Path) -> Iterator[Collection[str]]:
    suffix = _suffix(file)
    if suffix == ".parquet":
        yield column_names(file)
        return
    rows = _rows(file, Rejects(), columns=None)
    # All rows of a CSV file have the same columns.
    for _, values in islice(rows, 1) if suffix.startswith(".csv") else rows:
        yield values.keys()


def _explain_missing(name: str, path: Path, seen: list[str]) -> str:
    by_lower = {column.lower(): column for column in seen}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"; did you mean {by_lower[near[0]]!r}?" if near else ""
    more = f" and {len(seen) - _SHOWN_COLUMNS} more" if len(seen) > _SHOWN_COLUMNS else ""
    return f"no row of {path} has a column {name!r}, there are {', '.join(seen[:_SHOWN_COLUMNS])}{more}{hint}"
