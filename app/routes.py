"""The routes: from HTTP to the pipeline and back; thin."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from app import telemetry
from app.cache import RedisCache
from app.errors import from_validation, problem, request_id_of, respond
from app.pipeline import RecallPipeline
from app.pipelines import Pipelines
from app.schemas import (
    MAX_BATCH,
    MAX_BODY_BYTES,
    MAX_EVENTS,
    MAX_HISTORY,
    MAX_ITEMS,
    MAX_K,
    MAX_TEXTS,
    BatchAnswer,
    BatchRequest,
    RecallAnswer,
    RecallRequest,
)
from app.security import KeyedRoute
from app.swap import Swapper
from models.native.candidates import CandidatesJson
from models.native.library import LIBRARY
from models.text import MAX_CHARS

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"content": _PROBLEM, "description": text}
    for status, text in {
        401: "No valid API key",
        413: "The body is too large",
        422: "A field is wrong; `errors` says which",
        500: "The service failed",
        503: "Overloaded; come back after `Retry-After`",
        504: "`timeout_ms` passed before there was an answer",
    }.items()
}

public = APIRouter(tags=["operation"])
router = APIRouter(route_class=KeyedRoute, responses=PROBLEMS)


@router.post("/recall", response_model=RecallAnswer, tags=["recall"])
async def recall(body: RecallRequest, request: Request) -> Response:
    """Returns min(k, eligible items) candidates for what a user wrote and consumed."""
    answer = await _pipeline(request).recall(body, request_id_of(request))
    request.state.log.update(_summary(body, answer))
    _count(answer)
    return _json(answer)


@router.post("/recall/batch", response_model=BatchAnswer, tags=["recall"])
async def recall_batch(body: BatchRequest, request: Request) -> Response:
    """Answers several requests by the same rules; one that is wrong is an error in its place."""
    pipeline, request_id = _pipeline(request), request_id_of(request)
    answers = await asyncio.gather(
        *(_one(pipeline, raw, f"{request_id}-{number}") for number, raw in enumerate(body.requests))
    )
    request.state.log.update(_batch_summary(answers))
    return _json({"responses": answers})


@router.get("/info", tags=["operation"])
async def info(request: Request) -> Response:
    """Says what is served: the manifest's facts, limits and the state of the cache."""
    state, engine, redis = request.app.state, _pipeline(request).engine, _redis(request)
    refused = _swapper(request).refused
    manifest = engine.artifact.manifest.model_dump(mode="json", exclude={"probe": {"vector"}, "files": True})
    return _json(
        {
            "version": request.app.version,
            "artifact": manifest,
            "query_runtime": engine.encoder.runtime,
            "native": LIBRARY is not None,
            "limits": limits(),
            "cache": {
                "memory_entries": state.settings.cache_entries,
                "redis": "off" if redis is None else "up" if redis.available else "down",
            },
            "artifact_refused": None if refused is None else asdict(refused),
            "users": "redis" if state.settings.redis_url else "sqlite",
            "threads": state.settings.threads,
            "workers": state.settings.workers,
        }
    )


@public.get("/livez")
async def livez() -> dict[str, str]:
    """Says that the process is alive."""
    return {"status": "alive"}


@public.get("/readyz", responses={503: {"content": _PROBLEM, "description": "Not ready; `detail` says why"}})
async def readyz(request: Request) -> Response:
    """Says whether requests can be answered, by encoding the probe and searching with it."""
    engine = _pipeline(request).engine
    try:
        cosine = await asyncio.to_thread(engine.check)  # not behind the requests that wait for a thread
    except Exception as error:  # whatever breaks the probe would break a request
        body = {**problem(error, request_id_of(request)), "status": 503}
        request.state.log["error"] = body["type"]
        return respond(body)
    return _json({"status": "ready", "artifact_id": engine.artifact_id, "probe_cosine": round(cosine, 6)})


@public.get("/metrics")
async def metrics(request: Request) -> Response:
    """Gives the metrics as Prometheus reads them."""
    redis = _redis(request)
    if redis is not None:
        telemetry.CACHE_UP.set(redis.available)
    return Response(telemetry.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def limits() -> dict[str, int]:
    """Returns what a request may hold, as `/info` shows it."""
    return {
        "k": MAX_K,
        "batch_requests": MAX_BATCH,
        "body_bytes": MAX_BODY_BYTES,
        "history_ids": MAX_HISTORY,
        "texts": MAX_TEXTS,
        "text_characters": MAX_CHARS,
        "events": MAX_EVENTS,
        "items": MAX_ITEMS,
    }


async def _one(pipeline: RecallPipeline, raw: Any, request_id: str) -> dict[str, Any]:  # noqa: ANN401  # unchecked yet
    try:
        answer = await pipeline.recall(RecallRequest.model_validate(raw), request_id, by_itself=False)
    except ValidationError as error:
        return {"error": problem(from_validation(error), request_id)}
    except Exception as error:  # whatever one request breaks, the others are answered
        return {"error": problem(error, request_id)}
    _count(answer)
    return answer


def _pipeline(request: Request) -> RecallPipeline:
    return _swapper(request).pipeline


def _swapper(request: Request) -> Swapper:
    swapper: Swapper = request.app.state.swapper
    return swapper


def _redis(request: Request) -> RedisCache | None:
    pipelines: Pipelines = request.app.state.pipelines
    return pipelines.redis(_pipeline(request).engine)


def _json(body: Any) -> Response:  # noqa: ANN401  # whatever JSON has
    return Response(orjson.dumps(body, default=_fragment), media_type="application/json")


def _fragment(value: object) -> orjson.Fragment:
    if isinstance(value, CandidatesJson):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} has no JSON")


def _count(answer: dict[str, Any]) -> None:
    for stage, milliseconds in answer["timings_ms"].items():
        if stage != "total" and milliseconds > 0:  # 0 is a stage that was left out
            telemetry.STAGES[stage].observe(milliseconds / 1e3)
    if answer["timings_ms"]["encode"] > 0:
        telemetry.CACHE_USES[answer["cache"]].inc()
    for what in answer["degraded"]:
        telemetry.DEGRADED.labels(what).inc()
    if answer["fallback"]:
        telemetry.FALLBACKS.labels(answer["fallback"]).inc()


def _summary(body: RecallRequest, answer: dict[str, Any]) -> dict[str, Any]:
    kept = {name: answer[name] for name in ("artifact_id", "cache", "degraded", "fallback", "timings_ms")}
    return {
        **kept,
        "k": body.k,
        "n_texts": len(body.texts),
        "n_history": len(body.history),
        "n_candidates": len(answer["candidates"]),
        "n_missing": len(answer["missing_ids"]),
    }


def _batch_summary(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    answered = [answer for answer in answers if "error" not in answer]
    stages = answered[0]["timings_ms"] if answered else {}
    return {
        "artifact_id": answered[0]["artifact_id"] if answered else None,
        "n_requests": len(answers),
        "n_errors": len(answers) - len(answered),
        # Sums: the requests of a batch run side by side.
        "timings_ms": {stage: round(sum(answer["timings_ms"][stage] for answer in answered), 3) for stage in stages},
    }
