"""A route that reads its body without FastAPI's machinery wherever the body is right, which is nearly always."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from app.security import KeyedRoute


class BodyRoute(KeyedRoute):
    """A route over `endpoint(body, request) -> Response`, with a pydantic model as its body.

    FastAPI resolves dependencies and opens exit stacks for each request; here there are none. Whatever isn't a right
    body goes FastAPI's way, which words the complaint.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the handler, behind the guard."""
        handle_any, endpoint = super().get_route_handler(), self.endpoint
        model = self.body_field.field_info.annotation if self.body_field else None
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)

        async def handle(request: Request) -> Response:
            self.guard(request)
            body = _read(model, request.headers.get("content-type"), await request.body())
            if body is None:
                return await handle_any(request)
            response: Response = await endpoint(body, request)
            return response

        return handle


def _read(model: type[BaseModel], content_type: str | None, raw: bytes) -> BaseModel | None:
    if content_type != "application/json":
        return None
    try:
        return model.model_validate(json.loads(raw))
    except (ValueError, RecursionError, ValidationError):
        return None
