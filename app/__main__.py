"""The service as a command: `python -m app`, from the environment's settings."""

import os
import signal
import sys
import tempfile
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from app.settings import ServiceSettings, load_settings, unknown_variables
from models.errors import RecallError

# Longer than load balancers and clients' pools keep an idle connection (60 s): where the server is the first to close
# one, a request that is on its way is lost.
_KEEP_ALIVE_SECONDS = 75


def main() -> None:
    """Opens the artifact, refusing a damaged one in one clear line, and serves until it is told to stop."""
    try:
        settings = load_settings()
        for warning in unknown_variables():
            print(f"warning: {warning}", file=sys.stderr)
        _serve(settings)
    except (RecallError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _serve(settings: ServiceSettings) -> None:
    from app.engine import open_engine
    from app.factory import create_app
    from app.memory import settle, share_heaps
    from app.telemetry import configure_logging
    from models.artifact_store import ArtifactStore

    share_heaps()
    configure_logging(settings.log_level)
    # Opened before any server: inside one, a refusal is a traceback, and with workers exit code 0.
    engine = open_engine(ArtifactStore(settings.artifacts), threads=settings.threads)
    if settings.workers > 1:
        del engine  # each worker opens its own
        _serve_workers(settings)
        return
    app = create_app(settings, engine=engine)
    del engine  # the app lets go of it once another artifact takes over
    settle()
    uvicorn.run(app, **_options(settings))


def _serve_workers(settings: ServiceSettings) -> None:
    with tempfile.TemporaryDirectory(prefix="recall-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # the workers' metrics meet here
        config = uvicorn.Config("app.main:app", workers=settings.workers, **_options(settings))
        _Workers(config, sockets=[config.bind_socket()]).run()


def _options(settings: ServiceSettings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
        "log_level": "warning",
        "access_log": False,
    }


class _Workers(Multiprocess):
    """Passes SIGHUP on, where uvicorn would start every worker anew."""

    def handle_hup(self) -> None:
        for worker in self.processes:
            if worker.pid is not None:
                os.kill(worker.pid, signal.SIGHUP)


if __name__ == "__main__":
    main()
