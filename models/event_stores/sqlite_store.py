"""Events and profiles in one SQLite file: the processes of one machine share it, a killed one loses nothing."""

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import compress
from pathlib import Path

from models.errors import StoreUnavailableError
from models.events import START, Erasure, Event, Limits, Record, Signal, Signals, user_hash

FILE = "state.sqlite3"
"""Name of the file in its folder."""

_VERSION = 1
_BUSY_SECONDS = 5.0
# Forgotten profiles and event ids that one append clears away at most, so that none takes long.
_SWEEP = 1_000

# Offsets are microseconds since 1970 and grow even where a clock goes back, AUTOINCREMENT remembering the highest: a
# file that comes back from a backup, or is begun anew, gives none that were given before.
_SCHEMA = """
CREATE TABLE log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT, event TEXT, erased TEXT,
    CHECK ((event IS NULL) <> (erased IS NULL))
);
CREATE INDEX log_user ON log (user_id);
CREATE TABLE known_event (event_id TEXT PRIMARY KEY, received REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX known_event_received ON known_event (received);
CREATE TABLE signal (
    user_id TEXT NOT NULL, kind TEXT NOT NULL, type TEXT NOT NULL, value TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (user_id, kind, type, value)
) WITHOUT ROWID;
CREATE INDEX signal_time ON signal (user_id, kind, time);
CREATE TABLE profile (user_id TEXT PRIMARY KEY, touched REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX profile_touched ON profile (touched);
CREATE TABLE identity (log_id TEXT NOT NULL);
"""
_ADD_SIGNAL = """
INSERT INTO signal VALUES (?, ?, ?, ?, ?)
ON CONFLICT (user_id, kind, type, value) DO UPDATE SET time = max(time, excluded.time)
"""
_CAP_SIGNALS = """
DELETE FROM signal WHERE (user_id, kind, type, value) IN (
    SELECT user_id, kind, type, value FROM signal WHERE user_id = ? AND kind = ?
    ORDER BY time DESC, type DESC, value DESC LIMIT -1 OFFSET ?
)
"""
_TOUCH = "INSERT INTO profile VALUES (?, ?) ON CONFLICT (user_id) DO UPDATE SET touched = excluded.touched"


class SqliteStore:
    """An event store in a folder, which is made with the first event.

    Args:
        folder: Where the file is, or will be.
        limits: What is kept.
        clock: Unix seconds.
    """

    def __init__(self, folder: Path, limits: Limits, *, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE
        self._limits = limits
        self._clock = clock
        # Reading goes on beside a write that waits for the disk: each has its connection.
        self._reader, self._writer = _Connection(self._path), _Connection(self._path)

    def log_id(self) -> str | None:
        """Returns the log's identity, None before its first record."""
        if not self._path.exists():
            return None
        with self._reader.use() as db:
            return str(db.execute("SELECT log_id FROM identity").fetchone()[0])

    def append(self, events: Sequence[Event]) -> list[bool]:
        """Adds the events, all or none of them, to the log and to their users' profiles."""
        if not events:
            return []
        with self._transaction() as db:
            now = self._clock()
            is_new = [_is_new(db, event.event_id, now) for event in events]
            new = list(compress(events, is_new))
            offset = _next_offset(db, now)
            db.executemany(
                "INSERT INTO log (id, user_id, event) VALUES (?, ?, ?)",
                [(offset + n, event.user_id, event.model_dump_json()) for n, event in enumerate(new)],
            )
            self._update_profiles(db, self._limits.profiled(new), now)
            self._sweep(db, now)
        return is_new

    def read(self, after: str, limit: int) -> list[Record]:
        """Returns the oldest records behind an offset, at most `limit`."""
        if not self._path.exists():
            return []
        with self._reader.use() as db:
            rows = db.execute(
                "SELECT id, event, erased FROM log WHERE id > ? ORDER BY id LIMIT ?", (_position(after), limit)
            ).fetchall()
        return [
            Record(str(offset), offset / 1e6, Erasure(erased) if event is None else Event.model_validate_json(event))
            for offset, event, erased in rows
        ]

    def trim(self, up_to: str) -> None:
        """Drops the records up to an offset, that one too."""
        if up_to == START:
            return
        with self._transaction() as db:
            db.execute("DELETE FROM log WHERE id <= ?", (_position(up_to),))

    def signals(self, user_id: str) -> Signals:
        """Returns what is kept of a user."""
        if not self._path.exists():
            return Signals([], [])
        with self._reader.use() as db:
            rows = db.execute(
                "SELECT kind, type, value, time FROM signal WHERE user_id = ? AND EXISTS "
                "(SELECT 1 FROM profile WHERE user_id = ? AND touched > ?) ORDER BY time, type, value",
                (user_id, user_id, self._clock() - self._limits.profile_seconds),
            ).fetchall()
        found: dict[str, list[Signal]] = {"item": [], "text": []}
        for kind, name, value, when in rows:
            found[kind].append(Signal(name, value, when))
        return Signals(found["item"], found["text"])

    def erase(self, user_id: str) -> int:
        """Drops a user's profile and what the log holds of the user, and leaves an `Erasure` there."""
        with self._transaction() as db:
            n_events = db.execute("DELETE FROM log WHERE user_id = ?", (user_id,)).rowcount
            _forget(db, [user_id])
            mark = (_next_offset(db, self._clock()), user_hash(user_id))
            db.execute("INSERT INTO log (id, erased) VALUES (?, ?)", mark)
        with self._writer.use() as db:
            # Else the user's words would stay in the write-ahead log; a reader may hold that up for a while.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return n_events

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()
        self._writer.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writer.use() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _update_profiles(self, db: sqlite3.Connection, events: Sequence[Event], now: float) -> None:
        users = list(dict.fromkeys(event.user_id for event in events))
        forgotten = now - self._limits.profile_seconds
        _forget(db, [user for user in users if _touched(db, user) <= forgotten])
        for event in events:
            db.execute(_ADD_SIGNAL, (event.user_id, "item", event.type, event.item_id, event.timestamp))
            if event.says_something:
                db.execute(_ADD_SIGNAL, (event.user_id, "text", event.type, event.text, event.timestamp))
        for kind, cap in (("item", self._limits.items), ("text", self._limits.texts)):
            db.executemany(_CAP_SIGNALS, [(user, kind, cap) for user in users])
        db.executemany(_TOUCH, [(user, now) for user in users])

    def _sweep(self, db: sqlite3.Connection, now: float) -> None:
        old = db.execute(
            "SELECT user_id FROM profile WHERE touched <= ? LIMIT ?", (now - self._limits.profile_seconds, _SWEEP)
        ).fetchall()
        _forget(db, [user for (user,) in old])
        db.execute(
            "DELETE FROM known_event WHERE event_id IN (SELECT event_id FROM known_event WHERE received < ? LIMIT ?)",
            (now - self._limits.dedupe_seconds, _SWEEP),
        )


class _Connection:
    """One connection that threads take turns with, opened with its first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._db is None:
                    self._db = _open(self._path)
                yield self._db
            except (sqlite3.Error, OSError) as error:
                raise StoreUnavailableError(
                    f"{self._path} can't be used: {error}; make sure that its folder can be written and has room"
                ) from error

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    # The file's own entry must be on the disk before the first event is acknowledged.
    with _folder(path.parent) as descriptor:
        os.fsync(descriptor)
    return db


def _prepare(db: sqlite3.Connection) -> None:
    use_wal(db)
    db.execute("PRAGMA synchronous = FULL")  # each commit reaches the disk before it returns
    db.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
    db.execute("BEGIN IMMEDIATE")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute("INSERT INTO identity VALUES (?)", (secrets.token_hex(8),))
        db.execute(f"PRAGMA user_version = {_VERSION}")
    db.execute("COMMIT")
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it has format {version}, this version reads {_VERSION}")


def use_wal(db: sqlite3.Connection) -> None:
    """Switches to a write-ahead log; processes that do it at once are refused without waiting, so it is retried."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            with closing(db.execute("PRAGMA journal_mode = WAL")) as cursor:
                cursor.fetchall()
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_new(db: sqlite3.Connection, event_id: str, now: float) -> bool:
    return db.execute("INSERT OR IGNORE INTO known_event VALUES (?, ?)", (event_id, now)).rowcount == 1


def _next_offset(db: sqlite3.Connection, now: float) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return max(int(now * 1e6), row[0] + 1 if row else 0)


def _touched(db: sqlite3.Connection, user_id: str) -> float:
    row = db.execute("SELECT touched FROM profile WHERE user_id = ?", (user_id,)).fetchone()
    return float(row[0]) if row else float("inf")


def _forget(db: sqlite3.Connection, users: Sequence[str]) -> None:
    for table in ("signal", "profile"):
        db.executemany(f"DELETE FROM {table} WHERE user_id = ?", [(user,) for user in users])  # noqa: S608  # our names


def _position(offset: str) -> int:
    return -1 if offset == START else int(offset)
