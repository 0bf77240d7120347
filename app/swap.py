"""One artifact for another while requests are answered: notice it, open it beside the old one, swap, or refuse it.

A request takes the pipeline once and finishes on it, so an answer is all of one artifact; the last one that leaves an
old pipeline frees it. What can't be opened is refused, and the old artifact serves on.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog

from app import telemetry
from app.engine import Engine, warm_engine
from app.pipeline import RecallPipeline
from models.artifact_store import ArtifactStore
from models.encoder import EncoderLoader, load_encoder
from models.errors import ConfigError, RecallError

# Files of a shared volume may come later than the pointer to them.
_RETRY_SECONDS = 60.0
_NICENESS = 10

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swap:
    """A change of artifact, or none where both ids are the same.

    Attributes:
        old: What answered before.
        new: What answers now.
        seconds: From the call to the swap.
    """

    old: str
    new: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """An artifact that could not be served.

    Attributes:
        artifact_id: Which one; None where `current` names none.
        reason: What is wrong with it.
        at: UTC, ISO 8601.
    """

    artifact_id: str | None
    reason: str
    at: str


class Swapper:
    """Holds the pipeline that answers, and replaces it.

    Args:
        pipeline: What answers first.
        make: Makes a pipeline from a new engine, beside the one that answers.
        dress: Lays over an engine what changed since its artifact was built.
        store: The artifacts folder.
        threads: Cores that encoding and search may use.
        load: Loads an encoder.
    """

    def __init__(
        self,
        pipeline: RecallPipeline,
        make: Callable[[Engine, RecallPipeline], RecallPipeline],
        dress: Callable[[Engine], Awaitable[Engine]],
        store: ArtifactStore,
        *,
        threads: int,
        load: EncoderLoader = load_encoder,
    ) -> None:
        self.pipeline = pipeline
        self.engine = pipeline.engine
        self.refused: Refusal | None = None
        self._make = make
        self._dress = dress
        self._store = store
        self._warm = partial(warm_engine, threads=threads, load=load)
        self._lock = asyncio.Lock()
        self._seen: str | None = self._live
        self._retry_at = float("inf")
        # What was hashed once is not read again: going back takes no longer for a large artifact.
        self._checked = dict(self.engine.artifact.checked)
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="open", initializer=_step_back)
        telemetry.serve_artifact(None, self._live, len(self.engine.artifact.item_ids))

    @asynccontextmanager
    async def watching(self, seconds: float) -> AsyncIterator[None]:
        """Looks at `current` every so many seconds, and at once on SIGHUP, while the block runs."""
        hangup = asyncio.Event()
        loop = asyncio.get_running_loop()
        if owns_signals := threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGHUP, hangup.set)
        watch = asyncio.create_task(self._watch(seconds, hangup))
        try:
            yield
        finally:
            if owns_signals:
                loop.remove_signal_handler(signal.SIGHUP)
            watch.cancel()
            await asyncio.wait([watch])
            self._opener.shutdown()

    async def reload(self) -> Swap:
        """Serves what `current` names, even if it was refused before; returns once it does.

        Raises:
            RecallError: It is refused; the old artifact serves on.
        """
        start = time.perf_counter()
        async with self._lock:
            target = await asyncio.to_thread(self._target)
            return await self._swap_to(target, start)

    async def roll_back(self) -> Swap:
        """Serves the artifact that was live before, and makes it the live one for everybody.

        Raises:
            NoPreviousArtifactError: There is none.
            ConfigError: The artifacts folder can't be written.
            RecallError: It is refused; the live one stays.
        """
        start = time.perf_counter()
        async with self._lock:
            previous = await asyncio.to_thread(self._store.previous_id)
            return await self._swap_to(previous, start, then=partial(self._point_back, previous))

    def show(self, engine: Engine, dressed: Engine) -> bool:
        """Answers from an engine as it is dressed, unless another artifact is served by now; says whether it does."""
        if engine is not self.engine:
            return False
        self.pipeline = self._make(dressed, self.pipeline)
        return True

    @property
    def _live(self) -> str:
        return self.engine.artifact_id

    async def _watch(self, seconds: float, hangup: asyncio.Event) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(hangup.wait(), seconds)
            with suppress(Exception):  # it is refused, logged and counted
                if hangup.is_set():
                    hangup.clear()
                    await self.reload()
                else:
                    await self._look()

    async def _look(self) -> None:
        start = time.perf_counter()
        async with self._lock:
            target = await asyncio.to_thread(self._target)
            if target != self._seen or time.monotonic() >= self._retry_at:
                await self._swap_to(target, start)

    def _target(self) -> str | None:
        """Returns what `current` names; None where it names nothing, which opening it will explain."""
        try:
            return self._store.current_id()
        except RecallError:
            return None

    async def _swap_to(
        self, target: str | None, start: float, then: Callable[[], Awaitable[None]] | None = None
    ) -> Swap:
        old, self._seen, self._retry_at = self._live, target, float("inf")
        try:
            engine = self.engine if target == old else await self._open(target)
            dressed = await self._dress(engine)
        except Exception as error:  # whatever breaks the new artifact must not break the old one
            self._refuse(target, error)
            raise
        if then is not None:
            await then()
            dressed = await self._dress(engine)  # what came meanwhile must not go missing
        telemetry.ARTIFACT_REFUSED.set(0)
        seconds = round(time.perf_counter() - start, 3)
        if engine is not self.engine:
            self._take(engine, dressed, seconds)
        return Swap(old, self._live, seconds)

    async def _open(self, target: str | None) -> Engine:
        loop = asyncio.get_running_loop()
        artifact = await loop.run_in_executor(self._opener, self._store.open, target, self._checked)
        self._checked |= artifact.checked
        return await asyncio.to_thread(self._warm, artifact, beside=self.engine)

    async def _point_back(self, previous: str) -> None:
        try:
            await asyncio.to_thread(self._store.roll_back, previous)
        except OSError as error:
            raise ConfigError(
                f"the service can't write {self._store.root} ({error.strerror}); mount it writable, or run"
                " `python -m index_builder rollback` where it is"
            ) from error

    def _take(self, engine: Engine, dressed: Engine, seconds: float) -> None:
        old, self.engine, self.pipeline = self._live, engine, self._make(dressed, self.pipeline)
        telemetry.serve_artifact(old, self._live, len(engine.artifact.item_ids))
        telemetry.ARTIFACT_SWAPS.labels("swapped").inc()
        _log.info("artifact_swapped", old=old, new=self._live, seconds=seconds)

    def _refuse(self, target: str | None, error: Exception) -> None:
        reason = str(error) if isinstance(error, RecallError) else f"{type(error).__name__}: {error}"
        self.refused = Refusal(target, reason, datetime.now(UTC).isoformat(timespec="seconds"))
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        telemetry.ARTIFACT_SWAPS.labels("refused").inc()
        telemetry.ARTIFACT_REFUSED.set(1)
        _log.error("artifact_refused", artifact_id=target, reason=reason, serving=self._live)


def _step_back() -> None:
    """Lets requests have the cores: hashing a new artifact can wait, and its helper threads inherit this."""
    if sys.platform == "linux":  # elsewhere niceness is the process'
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
