"""Who may call: API keys in `X-API-Key` or `Authorization: Bearer`."""

import hmac
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from models.errors import UnauthorizedError


def require_key(request: Request) -> None:
    """Lets a request pass that carries one of the configured keys; all pass where none is configured.

    Raises:
        UnauthorizedError: The key is missing or wrong.
    """
    accepted: tuple[str, ...] = request.app.state.settings.accepted_keys
    if not accepted:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = request.headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    # Headers are read as Latin-1; every key is compared, in constant time, so that timing tells nothing.
    if not any([hmac.compare_digest(given.encode("latin-1"), key.encode()) for key in accepted]):
        raise UnauthorizedError("send one of the keys of RECALL_API_KEYS as X-API-Key or Authorization: Bearer")


class KeyedRoute(APIRoute):
    """A route that asks for the key before anybody parses the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns FastAPI's handler behind `require_key`."""
        handle = super().get_route_handler()

        async def handle_keyed(request: Request) -> Response:
            require_key(request)
            return await handle(request)

        return handle_keyed
