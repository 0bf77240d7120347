"""The one place where errors become HTTP: class → status and type word → application/problem+json."""

import uuid
from collections.abc import Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from app.telemetry import ERRORS
from models import errors as e

_log = structlog.get_logger(__name__)

# The nearest ancestor in this table decides.
STATUS: dict[type[e.RecallError], tuple[int, str, str]] = {
    e.RecallError: (500, "internal", "The service failed"),
    e.ConfigError: (500, "misconfigured", "A setting is wrong"),
    e.DataError: (500, "internal", "The service failed"),
    e.BuildLockedError: (503, "build_locked", "A builder is at work"),
    e.EncoderError: (500, "encoder_failed", "The encoder failed"),
    e.ArtifactError: (503, "artifact_unusable", "The artifact can't be served"),
    e.RequestError: (400, "bad_request", "The request is wrong"),
    e.InvalidRequestError: (422, "invalid_request", "A field of the request is wrong"),
    e.BodyTooLargeError: (413, "body_too_large", "The body is too large"),
    e.UnauthorizedError: (401, "unauthorized", "A valid API key is needed"),
    e.OverloadedError: (503, "overloaded", "Too much work is waiting"),
    e.DeadlineExceededError: (504, "deadline_exceeded", "timeout_ms passed before there was an answer"),
}
_BY_STATUS = {404: "not_found", 405: "method_not_allowed"}
_RETRY_AFTER_SECONDS = "1"


def problem(error: Exception, request_id: str) -> dict[str, Any]:
    """Returns an error as the body of a problem+json answer; what isn't ours says nothing of its inside."""
    body: dict[str, Any]
    if isinstance(error, e.RecallError):
        status, word, title = next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)
        body = {"type": word, "title": title, "status": status, "detail": str(error), "request_id": request_id}
    else:
        body = {
            "type": "internal",
            "title": "The service failed",
            "status": 500,
            "detail": f"look for request {request_id} in the service's log",
            "request_id": request_id,
        }
    if isinstance(error, e.InvalidRequestError):
        body["errors"] = [{"field": p.field, "message": p.message} for p in error.problems]
    ERRORS.labels(body["type"]).inc()
    return body


def invalid(errors: Sequence[Any], skip: int = 0) -> e.InvalidRequestError:
    """Returns pydantic's findings as our error, without the values, which may be a user's words.

    Args:
        errors: As `ValidationError.errors()` gives them.
        skip: Leading parts of each location that are not the caller's, such as "body".
    """
    found: dict[str, str] = {}
    for error in errors:
        # A union reports each member's complaint under its name; one per field is enough for a person.
        path = [str(part) for part in error["loc"][skip:] if not _is_union_member(part)]
        found.setdefault(".".join(path), str(error["msg"]).removeprefix("Value error, "))
    return e.InvalidRequestError(*(e.FieldProblem(field, message) for field, message in found.items()))


def from_validation(error: ValidationError) -> e.InvalidRequestError:
    """Returns a pydantic error as ours."""
    return invalid(error.errors(include_url=False, include_input=False))


def respond(body: dict[str, Any]) -> Response:
    """Returns a problem as an answer, with the headers that its status asks for."""
    headers = {}
    if body["status"] in (429, 503):
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    if body["status"] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(body), body["status"], headers, media_type="application/problem+json")


def request_id_of(request: Request) -> str:
    """Returns the id that the outermost middleware gave this request."""
    return str(getattr(request.state, "request_id", "") or uuid.uuid4().hex)


def install(app: FastAPI) -> None:
    """Adds the handlers: every error leaves as a problem."""

    async def ours(request: Request, error: Exception) -> Response:
        return respond(problem(error, request_id_of(request)))

    async def unexpected(request: Request, error: Exception) -> Response:
        _log.error("unexpected_error", request_id=request_id_of(request), exc_info=error)
        return respond(problem(error, request_id_of(request)))

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return respond(problem(invalid(error.errors(), skip=1), request_id_of(request)))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        word = _BY_STATUS.get(error.status_code, "bad_request")
        ERRORS.labels(word).inc()
        body = {
            "type": word,
            "title": error.detail,
            "status": error.status_code,
            "detail": f"{request.method} {request.url.path}: {error.detail}; GET /docs lists what there is",
            "request_id": request_id_of(request),
        }
        response = respond(body)
        response.headers.update(error.headers or {})
        return response

    app.add_exception_handler(e.RecallError, ours)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


def _is_union_member(part: object) -> bool:
    return isinstance(part, str) and (part in ("str", "HistoryItem") or "[" in part)
