"""The wire of what changes: events and profiles, live items, swaps; with examples."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.schemas import MAX_EVENTS, MAX_ITEMS, Body
from models.events import Event


class FeedbackRequest(Body):
    """What users did; each event is checked and taken or rejected on its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "event_id": "e1",
                            "user_id": "u42",
                            "item_id": "i3",
                            "type": "click",
                            "timestamp": "2025-01-02T03:04:05Z",
                            "request_id": "9f0c",
                        },
                        {"event_id": "e2", "user_id": "u42", "item_id": "i3", "type": "review", "text": "holds well"},
                    ]
                }
            ]
        }
    )

    events: list[Any] = Field(
        max_length=MAX_EVENTS, json_schema_extra={"items": Event.model_json_schema()}, description="What users did."
    )


class Rejected(BaseModel):
    """An event or item that wasn't taken."""

    index: int = Field(description="Its place in the call, from 0.")
    reason: str


class FeedbackAnswer(BaseModel):
    """What became of the events."""

    accepted: int = Field(description="Events that are stored now, or were before.")
    rejected: list[Rejected]


class ProfileItemOut(BaseModel):
    """An item of a profile's history."""

    id: str
    weight: float
    time: float = Field(description="Unix seconds.")


class ProfileTextOut(BaseModel):
    """A text of a profile."""

    text: str
    time: float = Field(description="Unix seconds.")


class UserProfile(BaseModel):
    """What is known of a user from events."""

    user_id: str
    history: list[ProfileItemOut] = Field(description="Consumed and not disliked, oldest first.")
    texts: list[ProfileTextOut] = Field(description="Written, oldest first.")
    seen: list[str] = Field(description="What `exclude_seen` leaves out.")


class ErasedUser(BaseModel):
    """What was erased."""

    user_id: str
    erased_events: int = Field(description="Events that waited for the nightly.")


class ItemsRequest(Body):
    """Items to add or change; each is checked and taken or rejected on its own."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [{"id": "i9", "title": "A new thing", "price": 12.5}]}]}
    )

    items: list[Any] = Field(
        max_length=MAX_ITEMS, description="`id` and those of the artifact's `item_fields` (`/info`) that are set."
    )


class ItemsAnswer(BaseModel):
    """What became of the items."""

    accepted: int = Field(description="Items that are stored and recalled now.")
    rejected: list[Rejected]


class DeletedItem(BaseModel):
    """What isn't recalled any more."""

    id: str


class SwapAnswer(BaseModel):
    """What is served instead of what; the same id twice where nothing changed."""

    old: str = Field(description="artifact_id that answered before.")
    new: str = Field(description="artifact_id that answers now.")
    seconds: float
