"""Live items in the SQLite file of the service's state, shared by the processes of one machine."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.errors import StoreUnavailableError
from models.event_stores.sqlite_store import FILE, use_wal
from models.live_items import Change, LiveRecord, join, next_seq

_BUSY_SECONDS = 5.0
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS live_item ("
    " item_id TEXT PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, record BLOB NOT NULL) WITHOUT ROWID",
    # The highest number that was given when records were last trimmed.
    "CREATE TABLE IF NOT EXISTS live_highest (only INTEGER PRIMARY KEY CHECK (only = 1), seq INTEGER NOT NULL)",
)


class SqliteLiveStore:
    """A store of live items in a folder, which is made with the first change.

    Args:
        folder: Where the file is, or will be.
        clock: Unix seconds.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def put(self, changes: Sequence[Change]) -> int:
        """Joins the changes to what is there, all or none of them, in order; returns the highest number given."""
        with self._use() as db, _transaction(db):
            seq = _highest(db)
            for change in changes:
                seq = next_seq(seq, self._clock())
                record = join(_one(db, change.id), change, seq)
                db.execute("INSERT OR REPLACE INTO live_item VALUES (?, ?, ?)", (change.id, seq, record.to_bytes()))
        return seq

    def get(self, ids: Sequence[str]) -> list[LiveRecord | None]:
        """Returns the record of each item, None where there is none."""
        if not self._path.exists():
            return [None] * len(ids)
        with self._use() as db:
            return [_one(db, item_id) for item_id in ids]

    def read(self, after: int, limit: int) -> list[LiveRecord]:
        """Returns the records with the lowest numbers above one, at most `limit`, in the order of their numbers."""
        if not self._path.exists():
            return []
        with self._use() as db:
            rows = db.execute(
                "SELECT item_id, record FROM live_item WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            ).fetchall()
        return [LiveRecord.from_bytes(*row) for row in rows]

    def trim(self, up_to: int) -> None:
        """Drops the records whose newest change has at most this number; numbers go on from where they are."""
        if self._path.exists():
            with self._use() as db, _transaction(db):
                db.execute("INSERT OR REPLACE INTO live_highest VALUES (1, ?)", (_highest(db),))
                db.execute("DELETE FROM live_item WHERE seq <= ?", (up_to,))

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._db is None:
                    self._db = _open(self._path)
                yield self._db
            except (sqlite3.Error, OSError) as error:
                raise StoreUnavailableError(
                    f"{self._path} can't be used: {error}; make sure that its folder can be written and has room"
                ) from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        use_wal(db)
        db.execute("PRAGMA synchronous = FULL")  # each commit reaches the disk before it returns
        for table in _SCHEMA:
            db.execute(table)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _highest(db: sqlite3.Connection) -> int:
    """Returns the highest number that was given; trimmed records had it, too."""
    (seq,) = db.execute(
        "SELECT max(coalesce((SELECT max(seq) FROM live_item), 0), coalesce((SELECT seq FROM live_highest), 0))"
    ).fetchone()
    return int(seq)


def _one(db: sqlite3.Connection, item_id: str) -> LiveRecord | None:
    row = db.execute("SELECT item_id, record FROM live_item WHERE item_id = ?", (item_id,)).fetchone()
    return None if row is None else LiveRecord.from_bytes(*row)
