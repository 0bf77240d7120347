"""Who may call: API keys in `X-API-Key` or `Authorization: Bearer`."""

import hmac

from fastapi import Request

from models.errors import UnauthorizedError


async def require_key(request: Request) -> None:
    """Lets a request pass that carries one of the configured keys; all pass where none is configured.

    Raises:
        UnauthorizedError: The key is missing or wrong.
    """
    accepted: tuple[str, ...] = request.app.state.settings.accepted_keys
    if not accepted:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = request.headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    # Every key is compared, in constant time, so that timing tells nothing.
    if not any([hmac.compare_digest(given.encode(), key.encode()) for key in accepted]):
        raise UnauthorizedError("send one of the keys of RECALL_API_KEYS as X-API-Key or Authorization: Bearer")
