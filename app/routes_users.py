"""The routes of users: what they did, what is known of them, and that they want to be forgotten."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response
from pydantic import ValidationError

from app import telemetry
from app.errors import from_validation
from app.routes import PROBLEMS
from app.schemas_changes import ErasedUser, FeedbackAnswer, FeedbackRequest, UserProfile
from app.security import KeyedRoute
from app.user_state import UserState
from models.errors import UnknownUserError
from models.events import Event
from models.profiles import NOTHING_KNOWN

router = APIRouter(route_class=KeyedRoute, responses=PROBLEMS)
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {**PROBLEMS[401], "description": "Nothing is kept of the user"}}
UserId = Annotated[str, Path(min_length=1)]


@router.post("/feedback", status_code=202, response_model=FeedbackAnswer, tags=["users"])
async def feedback(body: FeedbackRequest, request: Request) -> Response:
    """Takes events; what is accepted is on a disk, and in the next answer for its user."""
    events, rejected = _checked(body.events)
    n_new = await _users(request).record(events)
    counts = {"accepted": n_new, "duplicate": len(events) - n_new, "rejected": len(rejected)}
    for outcome, count in counts.items():
        telemetry.EVENTS.labels(outcome).inc(count)
    request.state.log.update(counts)
    return _json({"accepted": len(events), "rejected": rejected}, 202)


@router.get("/users/{user_id:path}", response_model=UserProfile, responses=_UNKNOWN, tags=["users"])
async def show_user(user_id: UserId, request: Request) -> Response:
    """Shows what is known of a user."""
    profile = await _users(request).find(user_id)
    if profile == NOTHING_KNOWN:
        raise UnknownUserError("nothing is kept of this user; a profile begins with the first event")
    return _json(
        {
            "user_id": user_id,
            "history": [{"id": item.id, "weight": item.weight, "time": item.time} for item in profile.history],
            "texts": [{"text": text.text, "time": text.time} for text in profile.texts],
            "seen": sorted(profile.seen),
        }
    )


@router.delete("/users/{user_id:path}", response_model=ErasedUser, tags=["users"])
async def erase_user(user_id: UserId, request: Request) -> Response:
    """Erases profile and events at once, and from the next nightly on what was learnt from; also of unknown users."""
    n_events = await _users(request).erase(user_id)
    return _json({"user_id": user_id, "erased_events": n_events})


def _checked(raw_events: list[Any]) -> tuple[list[Event], list[dict[str, Any]]]:
    """Returns the valid events, and where and why the others were rejected."""
    events, rejected = [], []
    for index, raw in enumerate(raw_events):
        try:
            events.append(_event(raw))
        except ValidationError as error:
            rejected.append({"index": index, "reason": str(from_validation(error))})
    return events, rejected


def _event(raw: object) -> Event:
    # Each unknown field would be a complaint, and a body has room for a million.
    short = dict(list(raw.items())[: len(Event.model_fields) + 1]) if isinstance(raw, dict) else raw
    return Event.model_validate(short)


def _users(request: Request) -> UserState:
    users: UserState = request.app.state.users
    return users


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
