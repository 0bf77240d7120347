"""What a scheduled run says while it runs: one JSON line a step on stderr, for whoever collects logs."""

import sys

import structlog
from structlog.typing import FilteringBoundLogger


def step_logger() -> FilteringBoundLogger:
    """Returns a logger of its own, which leaves structlog's settings alone; stdout is the report's."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    )
    return logger
