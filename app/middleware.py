"""Around every request: its id, its log line, its metrics, and the limit of its body. Plain ASGI."""

import random
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import problem, respond
from app.schemas import MAX_BODY_BYTES
from app.telemetry import REQUEST_SECONDS, REQUESTS
from models.errors import BodyTooLargeError

_log = structlog.get_logger("app.request")
_MAX_REQUEST_ID = 128
# Probes and scrapes come every few seconds and say nothing new.
_QUIET = {"/livez", "/readyz", "/metrics"}
# What is logged and counted for a request that nobody waited for.
_CLIENT_LEFT = 499


class RequestContext:
    """Gives each request an id, and writes one log line and the metrics when it is answered.

    Routes add to the line through `request.state.log`; a user's text never goes there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        log: dict[str, object] = {}
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "log": log}
        start, status = time.perf_counter(), _CLIENT_LEFT

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            body = problem(error, request_id)
            log["error"] = body["type"]
            if status != _CLIENT_LEFT:
                raise  # half an answer is under way: only the server can cut it off
            await respond(body)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "unmatched")
            REQUESTS.labels(route, status).inc()
            REQUEST_SECONDS.labels(route).observe(seconds)
            if scope["path"] not in _QUIET or status >= 500:
                _log.info(
                    "request",
                    request_id=request_id,
                    method=scope["method"],
                    route=route,
                    status=status,
                    ms=round(1e3 * seconds, 3),
                    **log,
                )


class BodyLimit:
    """Refuses a body over the limit before anybody parses it; keeps the others in the scope's state."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        chunks, size, more = [], 0, True
        declared = dict(scope["headers"]).get(b"content-length", b"")[:19]  # int() refuses thousands of digits
        is_over = declared.isdigit() and int(declared) > self._limit
        while more and not is_over:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
            is_over = size > self._limit
        if is_over:
            await self._refuse(scope, receive, send)
            return
        scope["state"]["body"] = whole = b"".join(chunks)
        body: Message | None = {"type": "http.request", "body": whole, "more_body": False}

        async def replay() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            message, body = body, None
            return message

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = BodyTooLargeError(f"the body is over the limit of {self._limit} bytes; send fewer requests or texts")
        body = problem(error, scope["state"]["request_id"])
        scope["state"]["log"]["error"] = body["type"]
        response = respond(body)
        await response(scope, receive, send)


def _request_id(scope: Scope) -> str:
    given: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    if 0 < len(given) <= _MAX_REQUEST_ID and all(33 <= byte < 127 for byte in given):
        return given.decode("ascii")
    return f"{random.getrandbits(128):032x}"  # an id, no secret: uuid4 asks the system for each
