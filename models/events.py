"""What users did: the event record, what makes one valid, and what every store of events promises.

A store keeps two things that change together: a log, from which the nightly takes, and each user's profile.
The stores themselves are in `models.event_stores`.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, NamedTuple, Protocol

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from models.text import MAX_CHARS

MAX_ID_CHARS = 512
"""Characters of an id of a user, an item or an event, as in the builder's tables."""

START = ""
"""The offset before the first record of a log."""

# A client's clock may run ahead so far; milliseconds taken for seconds lie 50,000 years ahead.
_MAX_AHEAD_SECONDS = 86_400.0


def _id(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("it is blank; send an id")
        if len(value) > MAX_ID_CHARS:
            raise ValueError(f"it has {len(value)} characters, an id has at most {MAX_ID_CHARS}")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError("it holds half a surrogate pair, which can't be stored; send whole characters")
    return value


def _text(value: str) -> str:
    # Nothing reads on from there, and half surrogate pairs can't be stored.
    return value[:MAX_CHARS].encode("utf-8", "replace").decode("utf-8")


def _seconds(value: object) -> object:
    if value is None:
        return time.time()
    if isinstance(value, str):
        value = _iso_seconds(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or _is_nan(value):
        raise ValueError("it has to be unix seconds or an ISO 8601 date")
    if value < 0:
        raise ValueError("it lies before 1970; send unix seconds or an ISO 8601 date")
    if value > time.time() + _MAX_AHEAD_SECONDS:
        raise ValueError("it lies more than a day ahead; send unix seconds (not milliseconds) or an ISO 8601 date")
    return float(value)


def _is_nan(value: int | float) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _iso_seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("it has to be unix seconds or an ISO 8601 date") from None


_Id = Annotated[str, BeforeValidator(_id)]
_Text = Annotated[str, AfterValidator(_text)]


class Event(BaseModel):
    """Something that a user did with an item.

    Attributes:
        event_id: The caller's; the same one counts once.
        user_id: Who.
        item_id: With what; it needn't be in the catalogue.
        type: Such as `view`, `click`, `like`, `dislike`, `purchase`, `review`; any name.
        timestamp: When, unix seconds in UTC; by default now.
        text: What the user wrote with it, cut to the `MAX_CHARS` that are ever read.
        rating: What the user gave.
        request_id: Of the answer that led to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    event_id: _Id
    user_id: _Id
    item_id: _Id
    type: _Id = Field(max_length=64)
    timestamp: Annotated[float, BeforeValidator(_seconds)] = Field(default_factory=time.time)
    text: _Text | None = None
    rating: float | None = Field(None, allow_inf_nan=False)
    request_id: _Text | None = Field(None, max_length=512)

    @property
    def says_something(self) -> bool:
        """The user wrote more than blanks."""
        return bool(self.text and not self.text.isspace())


class Erasure(NamedTuple):
    """A mark in the log: nothing of this user that came before may be used.

    Attributes:
        user_hash: See `user_hash`; the mark outlives the user's data and needn't name anybody.
    """

    user_hash: str


class Record(NamedTuple):
    """One entry of a log.

    Attributes:
        offset: Where it stands; to be handed back, never to be read. Offsets grow.
        received: When the store took it, unix seconds.
        content: What it says.
    """

    offset: str
    received: float
    content: Event | Erasure


class Signal(NamedTuple):
    """The newest time at which a user did one kind of thing with one item, or wrote one text.

    Attributes:
        type: Of the event.
        value: The item's id, or the text.
        time: Unix seconds.
    """

    type: str
    value: str
    time: float


class Signals(NamedTuple):
    """What a store keeps of one user, oldest first.

    Attributes:
        items: By type and item.
        texts: By type and text.
    """

    items: list[Signal]
    texts: list[Signal]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a store keeps, and how long.

    Attributes:
        types: Event types that say something of a user; others are in the log only. None keeps all.
        items: Signals about items of one user; the oldest go.
        texts: Texts of one user; the oldest go.
        profile_seconds: A profile is forgotten so long after the user's newest event.
        dedupe_seconds: An `event_id` is known at least so long after it came.
    """

    types: frozenset[str] | None = None
    items: int = 200
    texts: int = 8
    profile_seconds: int = 90 * 86_400
    dedupe_seconds: int = 86_400

    def profiled(self, events: Sequence[Event]) -> list[Event]:
        """Returns the events that go into profiles."""
        return [event for event in events if self.types is None or event.type in self.types]


class EventStore(Protocol):
    """Events and profiles, on a disk before a call returns. Thread-safe; several processes may use one store.

    Every call raises `StoreUnavailableError` where the store can't be reached or can't write.
    """

    def log_id(self) -> str | None:
        """Returns the log's identity: another one where a log was lost and begun anew, None before its first record."""

    def append(self, events: Sequence[Event]) -> list[bool]:
        """Adds the events, all or none of them, to the log and to their users' profiles.

        An event whose id came before, in an earlier call or in this one, is left out.

        Returns:
            Which were new.
        """

    def read(self, after: str, limit: int) -> list[Record]:
        """Returns the oldest records behind an offset, at most `limit`."""

    def trim(self, up_to: str) -> None:
        """Drops the records up to an offset, that one too."""

    def signals(self, user_id: str) -> Signals:
        """Returns what is kept of a user: nothing of one who is unknown, erased or forgotten."""

    def erase(self, user_id: str) -> int:
        """Drops a user's profile and what the log holds of the user, and leaves an `Erasure` there.

        Returns:
            How many events were dropped.
        """

    def close(self) -> None:
        """Lets go of files and connections."""


def user_hash(user_id: str) -> str:
    """Returns what stands for a user who was erased: 128 bits in hex."""
    return blake2b(user_id.encode("utf-8"), digest_size=16).hexdigest()
