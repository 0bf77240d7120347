"""The stores of live items: the SQLite file of the service's state, or Redis."""

from pathlib import Path

from models.event_stores import is_redis
from models.live_items import LiveStore
from models.live_stores.redis_store import RedisLiveStore
from models.live_stores.sqlite_store import SqliteLiveStore


def open_live_store(source: str) -> LiveStore:
    """Returns the store that a source names; nothing is opened before its first use.

    Args:
        source: A Redis URL, or the folder of the SQLite file.

    Raises:
        ConfigError: The URL can't be used.
    """
    return RedisLiveStore(source) if is_redis(source) else SqliteLiveStore(Path(source))
