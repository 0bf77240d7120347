"""Items that change while the service runs: taken, kept, followed from other processes, and laid over the artifact.

What blocks runs in one thread, to which the records belong; the event loop only shows what it makes.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import structlog

from app import telemetry
from app.engine import Engine
from app.item_changes import checked_fields
from app.live_view import LiveView
from app.swap import Swapper
from models.errors import FieldProblem, InvalidRequestError, StoreUnavailableError
from models.live_items import Change, LiveRecord, LiveStore, join, text_of
from models.types import JsonValue

_PAGE = 1_000
_RETRY_SECONDS = 2.0
# Above every number: a change that is tried before it is stored.
_NOT_STORED = 2**62

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class LiveItems:
    """The live items of this process.

    Args:
        store: Where all processes keep them.
        poll_seconds: How often it is asked what other processes put there.
    """

    def __init__(self, store: LiveStore, *, poll_seconds: float) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._records: dict[str, LiveRecord] = {}
        self._view: LiveView | None = None
        self._unseen: dict[str, LiveRecord] = {}
        self._highest = 0
        self._version = 0
        self._shown: tuple[weakref.ref[Engine], int] | None = None
        self._failing = False

    async def put(self, swapper: Swapper, items: Sequence[object]) -> list[tuple[int, str]]:
        """Takes items, and returns once this process recalls them; gives place and reason of the rejected ones.

        Raises:
            StoreUnavailableError: The store can't be reached or can't write: perhaps none was taken.
            InvalidRequestError: The artifact was built before there were live items.
        """
        if not swapper.engine.artifact.manifest.text_fields:
            raise InvalidRequestError(
                FieldProblem("items", "the artifact was built before there were live items; build it again")
            )
        rejected = await self._run(partial(self._take, swapper.engine, items))
        await self._show(swapper)
        return rejected

    async def delete(self, swapper: Swapper, item_id: str) -> None:
        """Deletes an item, and returns once this process doesn't recall it any more; also one that nobody knows.

        Raises:
            StoreUnavailableError: The store can't be reached or can't write: perhaps it wasn't deleted.
        """
        await self._run(partial(self._drop, item_id))
        await self._show(swapper)

    async def dress(self, engine: Engine) -> Engine:
        """Returns an engine with the newest live items laid over its artifact; itself where there is none."""
        while True:
            version = self._version
            dressed = await self._run(partial(self._over, engine))
            if version == self._version:
                return dressed

    @asynccontextmanager
    async def following(self, swapper: Swapper) -> AsyncIterator[None]:
        """Knows what the store holds before the block runs, and follows other processes meanwhile."""
        await self._look(swapper)
        follow = asyncio.create_task(self._follow(swapper))
        try:
            yield
        finally:
            follow.cancel()
            await asyncio.wait([follow])
            self._thread.shutdown()
            self._store.close()

    # In the thread

    def _take(self, engine: Engine, items: Sequence[object]) -> list[tuple[int, str]]:
        wanted: list[tuple[int, str, dict[str, JsonValue]]] = []
        rejected: list[tuple[int, str]] = []
        for index, item in enumerate(items):
            try:
                wanted.append((index, *checked_fields(item, engine.artifact.manifest)))
            except ValueError as error:
                rejected.append((index, str(error)))
        ids = list(dict.fromkeys(item_id for _, item_id, _ in wanted))
        records = dict(zip(ids, self._store.get(ids), strict=True))
        changes: list[Change] = []
        for index, item_id, fields in wanted:
            change = Change(item_id, fields)
            record = join(records[item_id], change, _NOT_STORED)
            if _has_text(engine, record):
                changes.append(change)
                records[item_id] = record
            else:
                names = ", ".join(engine.artifact.manifest.text_fields)
                rejected.append((index, f"no text would be left to recall it by; send at least one of {names}"))
        if changes:
            changed = {change.id for change in changes}
            # Made here, so that no other process has to.
            made = LiveView(engine).update(record for record in records.values() if record and record.id in changed)
            self._store.put([replace(change, known=made.get(change.id)) for change in changes])
            self._refresh()
        return sorted(rejected)

    def _drop(self, item_id: str) -> None:
        self._store.put([Change(item_id, None)])
        self._refresh()

    def _refresh(self) -> None:
        while records := self._store.read(self._highest, _PAGE):
            news = {record.id: record for record in records}
            self._records |= news
            self._unseen |= news
            self._highest = records[-1].seq
            self._version += 1

    def _over(self, engine: Engine) -> Engine:
        if not self._records or not engine.artifact.manifest.text_fields:
            return engine
        if self._view is None or self._view.plain is not engine:
            self._view, self._unseen = LiveView(engine), dict(self._records)
        for item_id, known in self._view.update(self._unseen.values()).items():
            self._records[item_id] = replace(self._records[item_id], known=known)
        self._unseen = {}
        telemetry.LIVE_ITEMS.set(len(self._view))
        return self._view.engine()

    # On the event loop

    async def _follow(self, swapper: Swapper) -> None:
        while True:
            # While it waits for a store that hangs, the thread does nothing else.
            await asyncio.sleep(max(self._poll_seconds, _RETRY_SECONDS if self._failing else 0))
            await self._look(swapper)

    async def _look(self, swapper: Swapper) -> None:
        try:
            await self._run(self._refresh)
            await self._show(swapper)
        except Exception as error:  # whatever fails, requests go on without the newest items
            if not self._failing:
                words = str(error) if isinstance(error, StoreUnavailableError) else type(error).__name__
                _log.warning("live_items_stale", error=words)
            self._failing = True
        else:
            self._failing = False

    async def _show(self, swapper: Swapper) -> None:
        engine, version = swapper.engine, self._version
        if self._shown is not None and self._shown[0]() is engine and self._shown[1] == version:
            return
        dressed = await self.dress(engine)
        if swapper.show(engine, dressed):  # else another artifact came meanwhile, and the next look dresses it
            self._shown = weakref.ref(engine), version

    async def _run(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _has_text(engine: Engine, record: LiveRecord) -> bool:
    artifact, manifest = engine.artifact, engine.artifact.manifest
    row = artifact.rows.get(record.id)
    fields = record.over({} if row is None else artifact.fields.get(row), manifest.live_seq)
    return bool(text_of(fields, manifest.text_fields, manifest.text_recipe))
