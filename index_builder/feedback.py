"""Moves events from the service's log into daily Parquet files, each event once, whenever it is killed.

The folder's `taken.json` says which files count and how far the log was read. It is replaced by one rename; whatever
else lies in the folder is a leftover. Only then is the log trimmed. So a run that dies before the rename changed
nothing, and one that dies after it only leaves records in the log that the next run skips.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from index_builder.config import FeedbackConfig
from models.errors import BuildLockedError, DataError
from models.event_stores import open_store
from models.events import START, Erasure, EventStore, Record, user_hash

MANIFEST = "taken.json"
"""Name of the file that says what counts."""

SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("timestamp", pa.float64(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("rating", pa.float64()),
        pa.field("request_id", pa.string()),
        pa.field("received", pa.float64(), nullable=False),
    ]
)
"""Columns of the daily files; times are unix seconds."""

# Records that are in memory at once.
_CHUNK = 200_000
_PAGE = 5_000


class Taken(BaseModel):
    """What a folder of events holds.

    Attributes:
        version: Of this form.
        offsets: How far each log was read, by the log's identity.
        files: Rows by name of the files that count, one a day (UTC) on which events came.
        erased: Hashes of users none of whose older rows may be used, wherever they stand.
        number: Grows with each change, so that no name of a file is used twice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    offsets: dict[str, str] = {}
    files: dict[str, int] = {}
    erased: tuple[str, ...] = ()
    number: int = 0


@dataclass(frozen=True, slots=True)
class TakeReport:
    """What one run moved.

    Attributes:
        n_events: Events that are in the files now and weren't before.
        n_erased_users: Users whose erasure was in the log.
        n_erased_rows: Their rows that were dropped from the files.
    """

    n_events: int
    n_erased_users: int
    n_erased_rows: int


def take_events(config: FeedbackConfig, *, store: EventStore | None = None) -> TakeReport:
    """Moves the log's new events into the folder, and drops what erased users left there.

    Args:
        config: The log, and the folder.
        store: The log, where it is open already.

    Raises:
        StoreUnavailableError: The log can't be reached.
        DataError: The folder's files can't be read.
        BuildLockedError: Another run moves events into the same folder.
    """
    source = store or open_store(config.source)
    try:
        with _locked(config.events):
            return _take(config.events, source)
    finally:
        if store is None:
            source.close()


def read_taken(folder: Path) -> Taken:
    """Returns what a folder of events holds: nothing where there is no folder yet.

    Raises:
        DataError: Its manifest can't be read.
    """
    path = folder / MANIFEST
    try:
        return Taken.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Taken()
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} can't be read: {error}; bring it back from a backup, with the files it names"
        ) from None


def _take(folder: Path, store: EventStore) -> TakeReport:
    taken = read_taken(folder)
    _drop_leftovers(folder, taken)
    log_id, total = store.log_id(), TakeReport(0, 0, 0)
    if log_id is None:
        return total
    # What an earlier run moved and didn't come to trim.
    store.trim(taken.offsets.get(log_id, START))
    while records := _chunk(store, taken.offsets.get(log_id, START)):
        batch = _batch(records)
        taken, n_erased = _add(folder, taken, batch, {log_id: records[-1].offset})
        _commit(folder, taken)
        _drop_leftovers(folder, taken)
        store.trim(taken.offsets[log_id])
        n_events = sum(len(rows) for rows in batch.rows.values())
        total = TakeReport(
            total.n_events + n_events,
            total.n_erased_users + len(batch.erased),
            total.n_erased_rows + n_erased,
        )
    return total


def _chunk(store: EventStore, after: str) -> list[Record]:
    records: list[Record] = []
    while len(records) < _CHUNK and (page := store.read(after, _PAGE)):
        records += page
        after = page[-1].offset
    return records


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows by day, and hashes of users all of whose older rows go."""

    rows: Mapping[str, list[dict[str, object]]]
    erased: frozenset[str]


def _batch(records: Iterable[Record]) -> _Batch:
    rows: list[tuple[str, dict[str, object]]] = []
    erased: set[str] = set()
    for record in records:
        if isinstance(record.content, Erasure):
            mark = record.content.user_hash
            erased.add(mark)
            rows = [(day, row) for day, row in rows if user_hash(str(row["user_id"])) != mark]
        else:
            day = datetime.fromtimestamp(record.received, UTC).strftime("%Y-%m-%d")
            rows.append((day, {**record.content.model_dump(), "received": record.received}))
    by_day: dict[str, list[dict[str, object]]] = {}
    for day, row in rows:
        by_day.setdefault(day, []).append(row)
    return _Batch(by_day, frozenset(erased))


def _add(folder: Path, taken: Taken, batch: _Batch, offsets: Mapping[str, str]) -> tuple[Taken, int]:
    """Writes the files that change, under new names; returns what then counts, and how many old rows were dropped."""
    number, files, n_erased = taken.number + 1, dict(taken.files), 0
    days = {_day(name): name for name in taken.files}
    for day in sorted(batch.rows.keys() | (days.keys() if batch.erased else set())):
        old = _table(folder / days[day]) if day in days else SCHEMA.empty_table()
        kept = _without(old, batch.erased)
        new = batch.rows.get(day, [])
        if not new and len(kept) == len(old):
            continue
        n_erased += len(old) - len(kept)
        table = pa.concat_tables([kept, pa.Table.from_pylist(new, schema=SCHEMA)])
        files.pop(days.get(day, ""), None)
        if len(table):
            name = f"{day}.{number}.parquet"
            _write(folder / name, table)
            files[name] = len(table)
    return Taken(
        offsets={**taken.offsets, **offsets},
        files=dict(sorted(files.items())),
        erased=tuple(sorted({*taken.erased, *batch.erased})),
        number=number,
    ), n_erased


def _commit(folder: Path, taken: Taken) -> None:
    path = folder / f".{MANIFEST}.tmp"
    with path.open("wb") as file:
        file.write(taken.model_dump_json(indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    path.replace(folder / MANIFEST)
    _sync(folder)


def _write(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, schema=SCHEMA)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} can't be read: {error}; bring it back from a backup") from error


def _without(table: pa.Table, erased: Collection[str]) -> pa.Table:
    if not erased:
        return table
    users = {user: user_hash(user) in erased for user in table["user_id"].unique().to_pylist()}
    return table.filter(pa.array([not users[user] for user in table["user_id"].to_pylist()], pa.bool_()))


def _day(name: str) -> str:
    return name.split(".")[0]


def _drop_leftovers(folder: Path, taken: Taken) -> None:
    for path in folder.glob("*.parquet"):
        if path.name not in taken.files:
            path.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise BuildLockedError(f"another run moves events into {folder}; wait for it to end") from None
