"""Who may call: API keys in `X-API-Key` or `Authorization: Bearer`; the operator's calls from this machine alone."""

import hmac
import ipaddress
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from models.errors import ForbiddenError, UnauthorizedError


def require_key(request: Request) -> None:
    """Lets a request pass that carries one of the configured keys; all pass where none is configured.

    Raises:
        UnauthorizedError: The key is missing or wrong.
    """
    _require_one(request, request.app.state.settings.accepted_keys, "RECALL_API_KEYS")


def require_admin(request: Request) -> None:
    """Lets a request pass that carries one of the admin keys; where none is configured, one from this machine.

    Raises:
        UnauthorizedError: Admin keys are configured, and this is none.
        ForbiddenError: None is configured, and the caller is elsewhere or a web page.
    """
    accepted: tuple[str, ...] = request.app.state.settings.accepted_admin_keys
    if not accepted and not _is_local(request):
        raise ForbiddenError(
            "without RECALL_ADMIN_KEYS /admin answers callers on this machine only; set it, send a key"
        )
    _require_one(request, accepted, "RECALL_ADMIN_KEYS")


def _require_one(request: Request, accepted: Sequence[str], setting: str) -> None:
    if not accepted:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = request.headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    # Headers are read as Latin-1; every key is compared, in constant time, so that timing tells nothing.
    if not any([hmac.compare_digest(given.encode("latin-1"), key.encode()) for key in accepted]):
        raise UnauthorizedError(f"send one of the keys of {setting} as X-API-Key or Authorization: Bearer")


def _is_local(request: Request) -> bool:
    # A browser on this machine calls from here, too, on behalf of any web page: pages say so in Origin.
    if request.client is None or "origin" in request.headers:
        return False
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


class KeyedRoute(APIRoute):
    """A route that asks for the key before anybody parses the body."""

    def guard(self, request: Request) -> None:
        """Raises unless the caller may pass."""
        require_key(request)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns FastAPI's handler behind the guard."""
        handle = super().get_route_handler()

        async def handle_keyed(request: Request) -> Response:
            self.guard(request)
            return await handle(request)

        return handle_keyed


class AdminRoute(KeyedRoute):
    """A route for the operator."""

    def guard(self, request: Request) -> None:
        """Raises unless the caller may pass."""
        require_admin(request)
