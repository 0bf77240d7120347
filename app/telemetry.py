"""Metrics and logs: names, labels and their set-up in one place. Never a user's text."""

import logging
import os
import sys

import orjson
import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from structlog.types import Processor

_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

REQUESTS = Counter("recall_requests", "Answers by route and status.", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "recall_request_seconds", "From the request's first byte to the answer's.", ["route"], buckets=_BUCKETS
)
STAGE_SECONDS = Histogram(
    "recall_stage_seconds", "Duration of a stage: encode, search, rescore.", ["stage"], buckets=_BUCKETS
)
CACHE = Counter("recall_cache", "Requests with text by outcome: hit, partial, miss, off.", ["outcome"])
# Looking a label up costs as much as counting; of these there are several a request.
STAGES = {stage: STAGE_SECONDS.labels(stage) for stage in ("encode", "search", "rescore")}
CACHE_USES = {outcome: CACHE.labels(outcome) for outcome in ("hit", "partial", "miss", "off")}
DEGRADED = Counter("recall_degraded", "Answers that left something out.", ["what"])
FALLBACKS = Counter("recall_fallbacks", "Answers for users of whom nothing is known.", ["kind"])
EVENTS = Counter("recall_events", "Events by outcome: accepted, duplicate, rejected.", ["outcome"])
ERRORS = Counter("recall_errors", "Problems answered, by type word.", ["type"])
# Set when it is read, so the newest value is the one that holds.
CACHE_UP = Gauge("recall_redis_up", "1 while Redis answers, 0 while it fails.", multiprocess_mode="livemostrecent")
LIVE_ITEMS = Gauge("recall_live_items", "Items that changed since the artifact was built.", multiprocess_mode="livemax")
ARTIFACT_ITEMS = Gauge(
    "recall_artifact_items", "Items of the artifact that is served.", ["artifact_id"], multiprocess_mode="livemax"
)
ARTIFACT_SWAPS = Counter("recall_artifact_swaps", "New artifacts by outcome: swapped, refused.", ["outcome"])
for _outcome in ("swapped", "refused"):
    ARTIFACT_SWAPS.labels(_outcome)  # an alarm on an increase needs the 0 before it
ARTIFACT_REFUSED = Gauge(
    "recall_artifact_refused", "1 while `current` names an artifact that was refused.", multiprocess_mode="livemax"
)


def serve_artifact(old: str | None, new: str, n_items: int) -> None:
    """Sets which artifact is served; an old one has 0 items once no process serves it."""
    if old is not None and old != new:
        ARTIFACT_ITEMS.labels(old).set(0)
    ARTIFACT_ITEMS.labels(new).set(n_items)


def exposition() -> bytes:
    """Returns all metrics as Prometheus reads them, summed over the processes where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
    return generate_latest(registry)


def configure_logging(level: str) -> None:
    """Sends one JSON line an event to stdout, also for what libraries log."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        # There is a line a request: orjson and bytes halve what it costs.
        processors=[*shared, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=structlog.processors.JSONRenderer())
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
