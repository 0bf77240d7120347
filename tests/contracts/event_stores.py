"""What the contracts of event stores share."""

from collections.abc import Callable

from models.events import Event, EventStore, Signals

NOBODY = Signals([], [])
Open = Callable[..., EventStore]


def event(event_id: str, user: str = "u", item: str = "i", kind: str = "click", **more: object) -> Event:
    raw = {"event_id": event_id, "user_id": user, "item_id": item, "type": kind, "timestamp": 100.0}
    return Event.model_validate(raw | more)
