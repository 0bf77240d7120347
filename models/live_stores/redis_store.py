"""Live items in Redis: a hash of records and a sorted set of their numbers, neither with a time limit."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry

from models.errors import ConfigError, StoreUnavailableError
from models.live_items import Change, LiveRecord, join, next_seq

_RECORDS, _NUMBERS = "recall:items", "recall:items:seq"
# The highest number that was given when records were last trimmed.
_HIGHEST = "recall:items:highest"
# Whoever reads is asked again soon, and holds up others.
_READ_SECONDS, _WRITE_SECONDS = 1.0, 5.0

_TRIM = """
local newest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if newest[2] then redis.call('SET', KEYS[3], newest[2]) end
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
for i = 1, #ids do redis.call('HDEL', KEYS[1], ids[i]) end
return redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
"""


class RedisLiveStore:
    """A store of live items in one Redis; no connection is opened before the first use.

    Args:
        url: `redis://`, `rediss://` or `unix://`.

    Raises:
        ConfigError: `url` is no Redis URL.
    """

    def __init__(self, url: str) -> None:
        try:
            self._client, self._reader = _client(url, _WRITE_SECONDS), _client(url, _READ_SECONDS)
        except ValueError as error:
            # The URL may hold a password, so it isn't shown.
            raise ConfigError(f"the Redis URL can't be used: {error}; write redis://host:6379/0") from None
        self._trim = self._client.register_script(_TRIM)

    def put(self, changes: Sequence[Change]) -> int:
        """Joins the changes to what is there, all or none of them, in order; returns the highest number given."""
        with _answering():
            while True:
                with self._client.pipeline() as pipeline:
                    pipeline.watch(_NUMBERS)  # type: ignore[no-untyped-call]  # redis' own; every writer changes the key
                    try:
                        return self._put(pipeline, changes)
                    except WatchError:
                        continue

    def get(self, ids: Sequence[str]) -> list[LiveRecord | None]:
        """Returns the record of each item, None where there is none."""
        with _answering():
            return _get(self._reader, ids)

    def read(self, after: int, limit: int) -> list[LiveRecord]:
        """Returns the records with the lowest numbers above one, at most `limit`, in the order of their numbers."""
        with _answering():
            ids: Any = self._reader.zrangebyscore(_NUMBERS, f"({after}", "+inf", start=0, num=limit)
            records = _get(self._reader, [item_id.decode() for item_id in ids])
        return sorted((record for record in records if record is not None), key=lambda record: record.seq)

    def trim(self, up_to: int) -> None:
        """Drops the records whose newest change has at most this number; numbers go on from where they are."""
        with _answering():
            self._trim([_RECORDS, _NUMBERS, _HIGHEST], [up_to])

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
        self._reader.close()

    def _put(self, pipeline: Any, changes: Sequence[Change]) -> int:  # noqa: ANN401  # redis' pipeline is untyped
        newest = pipeline.zrevrange(_NUMBERS, 0, 0, withscores=True)
        seq = max(int(newest[0][1]) if newest else 0, int(float(pipeline.get(_HIGHEST) or 0)))
        ids = list(dict.fromkeys(change.id for change in changes))
        records = dict(zip(ids, _get(pipeline, ids), strict=True))
        for change in changes:
            seq = next_seq(seq, time.time())
            records[change.id] = join(records[change.id], change, seq)
        pipeline.multi()
        for record in records.values():
            assert record is not None
            pipeline.hset(_RECORDS, record.id, record.to_bytes())
            pipeline.zadd(_NUMBERS, {record.id: record.seq})
        pipeline.execute()
        return seq


def _client(url: str, seconds: float) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # version 3 and driver_info cost round trips on connecting
        driver_info=None,
    )


def _get(client: Any, ids: Sequence[str]) -> list[LiveRecord | None]:  # noqa: ANN401  # a client or its pipeline
    if not ids:
        return []
    values = client.hmget(_RECORDS, list(ids))
    return [LiveRecord.from_bytes(item_id, raw) if raw else None for item_id, raw in zip(ids, values, strict=True)]


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        words = str(error).rpartition(" of pipeline caused error: ")[2]
        raise StoreUnavailableError(
            f"Redis gave no usable answer: {type(error).__name__} {words}; send it again once it is back"
        ) from error
