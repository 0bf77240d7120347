"""Runs a benchmark as a command: what goes wrong is one line and exit code 1, and whatever it started is stopped."""

import signal
import sys
from collections.abc import Callable
from typing import Any

import typer

from models.errors import RecallError


def run(main: Callable[..., Any]) -> None:
    """Runs a benchmark's `main` with the arguments of the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that services are stopped then, too
    try:
        typer.run(main)
    except (RecallError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
