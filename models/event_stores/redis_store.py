"""Events and profiles in Redis: a stream, the ids that came lately, and two sorted sets a user.

With `appendfsync always` an answer of Redis means that the event is on its disk. Stream and ids have no time
limit, so that no `volatile-*` eviction takes them; profiles have one.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from models.errors import ConfigError, StoreUnavailableError
from models.events import START, Erasure, Event, Limits, Record, Signal, Signals, user_hash

_STREAM, _KNOWN, _LOG_ID = "recall:events", "recall:events:known", "recall:events:id"
_ITEMS, _TEXTS = "recall:user:items:", "recall:user:texts:"
_SECONDS = 5.0
# Old event ids that one append clears away at most, and records that an erasure reads at once.
_SWEEP = 1_000

# One script, so that log and profile change together or not at all. Per event: id, record, user, time, and the members
# for items and texts, empty where there is none. Redis' own clock dates the records.
_APPEND = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local items, texts, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local old = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. now - tonumber(ARGV[4]))
if old > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, math.min(old, tonumber(ARGV[5])) - 1)
end
local function signal(key, member, at, cap)
  if member == '' then return end
  redis.call('ZADD', key, 'GT', at, member)
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - cap)
end
redis.call('SET', KEYS[5], ARGV[6], 'NX')
local new = {}
for i = 7, #ARGV, 6 do
  new[#new + 1] = redis.call('ZADD', KEYS[2], 'NX', now, ARGV[i])
  if new[#new] == 1 then
    redis.call('XADD', KEYS[1], '*', 'event', ARGV[i + 1])
    if ARGV[i + 4] ~= '' then
      signal(KEYS[3] .. ARGV[i + 2], ARGV[i + 4], ARGV[i + 3], items)
      signal(KEYS[4] .. ARGV[i + 2], ARGV[i + 5], ARGV[i + 3], texts)
      redis.call('EXPIRE', KEYS[3] .. ARGV[i + 2], ttl)
      redis.call('EXPIRE', KEYS[4] .. ARGV[i + 2], ttl)
    end
  end
end
return new
"""

# One string a set, in which no member has a line break: a reply of hundreds of strings takes Python milliseconds.
_SIGNALS = """
local sets = {}
for i = 1, 2 do
  sets[i] = table.concat(redis.call('ZRANGE', KEYS[i], 0, -1, 'WITHSCORES'), '\\n')
end
return sets
"""


class RedisStore:
    """An event store in one Redis; no connection is opened before the first use.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        limits: What is kept.
        read_seconds: Longest wait for a profile; everything else may take 5 s.

    Raises:
        ConfigError: `url` is no Redis URL.
    """

    def __init__(self, url: str, limits: Limits, *, read_seconds: float = _SECONDS) -> None:
        self._limits = limits
        try:
            self._client, self._reader = _client(url, _SECONDS), _client(url, read_seconds)
        except ValueError as error:
            # The URL may hold a password, so it isn't shown.
            raise ConfigError(f"the Redis URL can't be used: {error}; write redis://host:6379/0") from None
        self._append, self._signals = _Script(self._client, _APPEND), _Script(self._reader, _SIGNALS)

    def log_id(self) -> str | None:
        """Returns the log's identity, None before its first record."""
        with _answering():
            log_id: Any = self._client.get(_LOG_ID)
        return None if log_id is None else str(log_id.decode())

    def append(self, events: Sequence[Event]) -> list[bool]:
        """Adds the events, all or none of them, to the log and to their users' profiles."""
        if not events:
            return []
        limits = self._limits
        profiled = {id(event) for event in limits.profiled(events)}
        words: list[str | bytes | float] = [
            limits.items,
            limits.texts,
            limits.profile_seconds,
            limits.dedupe_seconds,
            _SWEEP + 2 * len(events),
            secrets.token_hex(8),
        ]
        for event in events:
            words += [event.event_id, event.model_dump_json(), event.user_id, repr(event.timestamp)]
            words += _members(event) if id(event) in profiled else (b"", b"")
        with _answering():
            return [answer == 1 for answer in self._append([_STREAM, _KNOWN, _ITEMS, _TEXTS, _LOG_ID], words)]

    def read(self, after: str, limit: int) -> list[Record]:
        """Returns the oldest records behind an offset, at most `limit`."""
        with _answering():
            entries: Any = self._client.xrange(_STREAM, "-" if after == START else f"({after}", "+", count=limit)
        return [_record(offset.decode(), fields) for offset, fields in entries]

    def trim(self, up_to: str) -> None:
        """Drops the records up to an offset, that one too."""
        if up_to == START:
            return
        with _answering():
            self._client.xtrim(_STREAM, minid=_following(up_to), approximate=False)

    def signals(self, user_id: str) -> Signals:
        """Returns what is kept of a user."""
        with _answering():
            items, texts = self._signals([_ITEMS + user_id, _TEXTS + user_id], [])
        return Signals(_parsed(items), _parsed(texts))

    def erase(self, user_id: str) -> int:
        """Drops a user's profile and what the log holds of the user, and leaves an `Erasure` there."""
        with _answering():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.delete(_ITEMS + user_id, _TEXTS + user_id)
            pipeline.set(_LOG_ID, secrets.token_hex(8), nx=True)
            pipeline.xadd(_STREAM, {"erased": user_hash(user_id)})
            mark = pipeline.execute()[2].decode()
        # From here on the mark keeps the user's events out of the training data; now they go themselves.
        n_events, after = 0, START
        while records := self.read(after, _SWEEP):
            after = records[-1].offset
            own = [
                record.offset
                for record in records
                if isinstance(record.content, Event)
                and record.content.user_id == user_id
                and _position(record.offset) < _position(mark)
            ]
            if own:
                with _answering():
                    n_deleted: Any = self._client.xdel(_STREAM, *own)
                n_events += n_deleted
        return n_events

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
        self._reader.close()


class _Script:
    """A script that Redis keeps; sent again where Redis was restarted."""

    def __init__(self, client: Redis, text: str) -> None:
        self._client, self._text, self._sha = client, text, ""

    def __call__(self, keys: Sequence[str], words: Sequence[str | bytes | float]) -> Any:  # noqa: ANN401  # what it returns
        if self._sha:
            try:
                return self._client.evalsha(self._sha, len(keys), *keys, *words)
            except NoScriptError:
                pass
        self._sha = str(self._client.script_load(self._text))
        return self._client.evalsha(self._sha, len(keys), *keys, *words)


def _client(url: str, seconds: float) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # version 3 and driver_info cost round trips on connecting
        driver_info=None,
    )


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        # What stands before names the command with its arguments, a user's id among them.
        words = str(error).rpartition(" of pipeline caused error: ")[2]
        raise StoreUnavailableError(
            f"Redis gave no usable answer: {type(error).__name__} {words}; send it again once it is back"
        ) from error


def _members(event: Event) -> tuple[bytes, bytes]:
    return (
        orjson.dumps([event.type, event.item_id]),
        orjson.dumps([event.type, event.text]) if event.says_something else b"",
    )


def _parsed(lines: bytes) -> list[Signal]:
    parts = lines.split(b"\n") if lines else []
    members = orjson.loads(b"[%b]" % b",".join(parts[::2]))
    return [Signal(kind, value, float(time)) for (kind, value), time in zip(members, parts[1::2], strict=True)]


def _record(offset: str, fields: dict[bytes, bytes]) -> Record:
    content: Event | Erasure
    if b"erased" in fields:
        content = Erasure(fields[b"erased"].decode())
    else:
        content = Event.model_validate_json(fields[b"event"])
    return Record(offset, _position(offset)[0] / 1e3, content)


def _position(offset: str) -> tuple[int, int]:
    milliseconds, number = offset.split("-")
    return int(milliseconds), int(number)


def _following(offset: str) -> str:
    milliseconds, number = _position(offset)
    return f"{milliseconds}-{number + 1}"
