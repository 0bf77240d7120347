"""The straight way to `POST /recall`, past FastAPI's routing, wherever the body is right, which is nearly always."""

import json
from types import SimpleNamespace

from fastapi import Request
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from app.routes import recall
from app.schemas import RecallRequest
from app.security import require_key

_PATH = "/recall"
_ROUTE = SimpleNamespace(path=_PATH)  # what metrics and logs call it, as FastAPI's route is called


class StraightRecall:
    """Answers a right body by itself; whatever else comes goes FastAPI's way, which words the complaint.

    FastAPI looks routes up, resolves dependencies and opens exit stacks for each request; here there are none. What is
    raised is `RequestContext`'s to answer. Stands inside `BodyLimit`, whose body it reads.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        body = scope["state"].get("body") if scope["type"] == "http" and scope["path"] == _PATH else None
        if body is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE
        request = Request(scope)
        require_key(request)
        right = _read(request.headers.get("content-type"), body)
        if right is None:
            await self._app(scope, receive, send)
            return
        response = await recall(right, request)
        await response(scope, receive, send)


def _read(content_type: str | None, raw: bytes) -> RecallRequest | None:
    if content_type != "application/json":
        return None
    try:
        return RecallRequest.model_validate(json.loads(raw))
    except (ValueError, RecursionError, ValidationError):
        return None
