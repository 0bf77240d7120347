"""The stores of events and profiles: one SQLite file for the processes of one machine, or Redis."""

import re
from pathlib import Path

from models.event_stores.redis_store import RedisStore
from models.event_stores.sqlite_store import SqliteStore
from models.events import EventStore, Limits

_REDIS = re.compile(r"(redis|rediss|unix)://")


def is_redis(source: str) -> bool:
    """Returns whether a source is a Redis URL; else it is a folder."""
    return _REDIS.match(source) is not None


def open_store(source: str, limits: Limits | None = None, *, read_seconds: float = 5.0) -> EventStore:
    """Returns the store that a source names; nothing is opened before its first use.

    Args:
        source: A Redis URL, or the folder of the SQLite file.
        limits: What is kept.
        read_seconds: Longest wait for a profile.

    Raises:
        ConfigError: The URL can't be used.
    """
    limits = limits or Limits()
    if is_redis(source):
        return RedisStore(source, limits, read_seconds=read_seconds)
    return SqliteStore(Path(source), limits)
