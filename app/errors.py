"""The one place where errors become HTTP: class → status and type word → application/problem+json."""

import traceback
import uuid
from collections.abc import Sequence
from itertools import islice
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
    e.StoreUnavailableError: (503, "store_unavailable", "Events and profiles can't be reached"),
    e.ArtifactError: (503, "artifact_unusable", "The artifact can't be served"),
    e.RequestError: (400, "bad_request", "The request is wrong"),
    e.InvalidRequestError: (422, "invalid_request", "A field of the request is wrong"),
    e.BodyTooLargeError: (413, "body_too_large", "The body is too large"),
    e.UnauthorizedError: (401, "unauthorized", "A valid API key is needed"),
    e.ForbiddenError: (403, "forbidden", "Not from where you call"),
    e.UnknownUserError: (404, "unknown_user", "Nothing is kept of the user"),
    e.NoPreviousArtifactError: (409, "no_previous_artifact", "There is no artifact to roll back to"),
    e.OverloadedError: (503, "overloaded", "Too much work is waiting"),
    e.DeadlineExceededError: (504, "deadline_exceeded", "timeout_ms passed before there was an answer"),
}
_BY_STATUS = {404: "not_found", 405: "method_not_allowed"}
_RETRY_AFTER_SECONDS = "1"
_NOT_JSON = "can't be read as JSON; send UTF-8, nested a few levels at most"
# Where pydantic's own words speak of Python.
_WORDS = {
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "extra_forbidden": "there is no such field",
}
# So much of what a caller made up is shown: names of fields, and how many of them.
_MAX_PROBLEMS, _MAX_NAME = 20, 80
# After these fields pydantic names the member of the union that it tried, which means nothing to a caller.
_UNION_MEMBER_AT = {"text": 1, "history": 2}


def problem(error: Exception, request_id: str) -> dict[str, Any]:
    """Returns an error as the body of a problem+json answer; what isn't ours goes to the log instead."""
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
        _log_unexpected(error, request_id)
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
    found: dict[tuple[str, ...], str] = {}
    for error in islice(errors, _MAX_PROBLEMS):
        message = _WORDS.get(error["type"], str(error["msg"]).removeprefix("Value error, "))
        found.setdefault(_path(error["loc"][skip:]), message)
    # Each member of a union complains; the one that came deepest is what the caller meant.
    outer = {path[:length] for path in found for length in range(len(path))}
    problems = [e.FieldProblem(".".join(path), message) for path, message in found.items() if path not in outer]
    return e.InvalidRequestError(*problems)


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
    """Adds the handlers: every error leaves as a problem; what isn't foreseen here is `RequestContext`'s."""

    def answer(request: Request, error: e.RecallError) -> Response:
        body = problem(error, request_id_of(request))
        request.state.log["error"] = body["type"]
        return respond(body)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, e.RecallError)
        return answer(request, error)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, _invalid_body(request, error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 400:  # FastAPI's word for a body that json.loads failed on
            return answer(request, e.InvalidRequestError(e.FieldProblem("", _NOT_JSON)))
        word = _BY_STATUS.get(error.status_code, "bad_request")
        ERRORS.labels(word).inc()
        request.state.log["error"] = word
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


def _invalid_body(request: Request, error: RequestValidationError) -> e.InvalidRequestError:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        where = f"{first['ctx']['error']} at character {first['loc'][-1]}"
        return e.InvalidRequestError(e.FieldProblem("", f"is no JSON: {where}"))
    if isinstance(error.body, bytes):
        given = request.headers.get("content-type", "missing")[:_MAX_NAME]
        message = f"has the Content-Type {given}; send JSON as application/json"
        return e.InvalidRequestError(e.FieldProblem("", message))
    return invalid(error.errors(), skip=1)


def _path(location: Sequence[str | int]) -> tuple[str, ...]:
    member = _UNION_MEMBER_AT.get(str(location[0])) if location else None
    return tuple(str(part)[:_MAX_NAME] for position, part in enumerate(location) if position != member)


def _log_unexpected(error: Exception, request_id: str) -> None:
    # Its message may hold a user's words, so the log gets only where it came from.
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("unexpected_error", request_id=request_id, error=type(error).__name__, frames=frames)
