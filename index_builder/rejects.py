"""The rows that a build can't use: counted by kind, the first of each kind kept to show, all written to a file.

One `Rejects` belongs to one table. Knows no format and no column; the readers say what is wrong with a row.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from models.errors import DataError
from models.types import JsonValue

EXAMPLES = 5
"""Rejects of each kind that are kept to show."""


class RejectKind(StrEnum):
    """What is wrong with a row."""

    NO_ID = "no_id"
    LONG_ID = "long_id"
    DUPLICATE_ID = "duplicate_id"
    WRONG_TYPE = "wrong_type"
    BROKEN_JSON = "broken_json"
    INVALID_UTF8 = "invalid_utf8"
    BAD_ROW = "bad_row"
    EMPTY_TEXT = "empty_text"
    NO_TIME = "no_time"


class RowError(DataError):
    """One row can't be used; the reader turns it into a reject.

    Attributes:
        kind: What is wrong.
        reason: The same for a person: the column, the value, and what would be right.
    """

    def __init__(self, kind: RejectKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reject:
    """One rejected row, to show.

    Attributes:
        file: The file it is in.
        line: Its line in a text file, its row number in a Parquet file; from 1.
        kind: What is wrong.
        reason: The same for a person.
    """

    file: str
    line: int
    kind: RejectKind
    reason: str

    def __str__(self) -> str:
        return f"{self.file} line {self.line}: {self.reason} ({self.kind})"


class Rejects:
    """Collects the rejected rows of one table; a context manager that owns the rejects file.

    Attributes:
        counts: Rejects by kind.
        examples: The first `EXAMPLES` rejects of each kind.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Collects into `path`, or only counts where there is none.

        Args:
            path: Rejects file, JSON lines; what an earlier build left there is removed on entering, and the
                file is created with the first reject.
        """
        self.counts: Counter[RejectKind] = Counter()
        self.examples: dict[RejectKind, list[Reject]] = {}
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            with _writing(self._path):
                self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None and self._file is not None:
            with _writing(self._path):
                self._file.close()

    @property
    def total(self) -> int:
        """Rejects of all kinds."""
        return self.counts.total()

    def add(self, error: RowError, *, file: str, line: int, row: object) -> None:
        """Counts one row and writes it whole to the rejects file.

        Args:
            error: What is wrong with the row.
            file: The file it is in.
            line: Its line, or its row number in a Parquet file.
            row: The row as read: a dict of its columns, or its raw bytes where it couldn't be parsed.

        Raises:
            DataError: The rejects file can't be written.
        """
        reject = Reject(file, line, error.kind, error.reason)
        self.counts[error.kind] += 1
        examples = self.examples.setdefault(error.kind, [])
        if len(examples) < EXAMPLES:
            examples.append(reject)
        if self._path is not None:
            self._write(self._path, reject, row)

    def check_share(self, total_rows: int, limit: float, what: str) -> None:
        """Ends the build where too many rows are bad.

        Args:
            total_rows: Rows read, good and bad.
            limit: Largest share of bad rows that is let through.
            what: The table in the config, such as `catalogue`.

        Raises:
            DataError: The share is over the limit.
        """
        if not total_rows or self.total / total_rows <= limit:
            return
        counts = ", ".join(f"{n} {kind}" for kind, n in self.counts.most_common())
        examples = "; ".join(str(self.examples[kind][0]) for kind, _ in self.counts.most_common())
        where = f"look at them in {self._path}" if self._path is not None else "mend them"
        raise DataError(
            f"{self.total} of {total_rows} {what} rows are bad ({counts}), a share of "
            f"{self.total / total_rows:.2%} where {what}.max_reject_share allows {limit:.2%}. "
            f"The first of each kind: {examples}. Next: {where}, or raise {what}.max_reject_share"
        )

    def summary(self, total_rows: int) -> dict[str, JsonValue]:
        """Returns the JSON-ready part of a report: `rejected`, `share`, `counts`, `examples`, `file`.

        Args:
            total_rows: Rows read, good and bad.
        """
        return {
            "rejected": self.total,
            "share": self.total / total_rows if total_rows else 0.0,
            "counts": {str(kind): n for kind, n in self.counts.items()},
            "examples": [
                {"file": r.file, "line": r.line, "kind": str(r.kind), "reason": r.reason}
                for examples in self.examples.values()
                for r in examples
            ],
            "file": str(self._path) if self._path is not None and self.total else None,
        }

    def _write(self, path: Path, reject: Reject, row: object) -> None:
        record = {
            "file": reject.file,
            "line": reject.line,
            "kind": reject.kind,
            "reason": reject.reason,
            "row": _representable(row),
        }
        text = json.dumps(record, ensure_ascii=False, default=_representable) + "\n"
        with _writing(path):
            if self._file is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("wb")
            # In a JSON string a backslash escape of a lone surrogate is that surrogate.
            self._file.write(text.encode("utf-8", "backslashreplace"))


def show(value: object) -> str:
    """Returns a value as a reason quotes it, cut to a length that fits a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"the rejects file {path} can't be written: {error}; make room for it there") from error


def _representable(value: object) -> object:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
