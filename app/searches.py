"""Where a search and its rescoring are done: on the event loop, by the compiled library's threads, or in Python's."""

import asyncio
import time
from concurrent.futures import Executor
from dataclasses import dataclass

from app.clock import Clock
from app.engine import Engine
from app.in_progress import InProgress
from app.native_jobs import NativeJobs
from models.recaller import Recalled, RecallJob, Sought, UserQuery, first, pool_size

# On the event loop a search must be short, and so must be what comes before it: such take a millisecond or two.
_SHORT_K, _SHORT_HISTORY = 200, 100


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave; `skipped` says that the head had no time left."""

    recalled: Recalled
    skipped: bool
    sought: Sought | None


class Searches:
    """Finds candidates in one engine.

    Args:
        engine: What is searched.
        executor: Python's threads, for what `jobs` can't do and the event loop has no time for.
        jobs: The compiled library's threads; None where there is no library.
        in_progress: Says whether a request is the only one.
    """

    def __init__(self, engine: Engine, executor: Executor, jobs: NativeJobs | None, in_progress: InProgress) -> None:
        self._engine = engine
        self._executor = executor
        self._jobs = jobs
        self._in_progress = in_progress

    async def find(self, query: UserQuery, rescore: bool, clock: Clock, *, by_itself: bool) -> Found:
        """Searches, then rescores unless the deadline has passed.

        Args:
            query: The request.
            rescore: Whether the head looks at the pool.
            clock: Of the request.
            by_itself: No others come with it, which one after another would hold the event loop up.

        Raises:
            DeadlineExceededError: The deadline passed before the search began.
        """
        is_light = by_itself and len(query.history) <= _SHORT_HISTORY
        is_quick = query.k <= _SHORT_K and self._engine.artifact.index.is_quick
        if is_light and self._jobs is not None:
            start = time.perf_counter()
            job = self._engine.recaller.job(query, rescore=rescore, deadline=clock.remaining())
            if job is not None:
                return await self._do(job, self._jobs, rescore, clock, start, is_quick=is_quick)
        if is_light and is_quick:
            return self._find(query, rescore, clock)
        work = self._executor.submit(self._find, query, rescore, clock)
        found = asyncio.wrap_future(work)
        if clock.timeout_ms is not None:
            await asyncio.wait([found], timeout=clock.remaining())
            # What still waits for a thread is given up; what runs is nearly there.
            if not found.done() and work.cancel():
                raise clock.exceeded()
        return await found

    async def _is_alone(self) -> bool:
        """Whether no other request is being answered: for one alone, handing over takes longer than it saves."""
        if self._in_progress.is_one:
            await asyncio.sleep(0)  # those that came at the same time begin, too
        return self._in_progress.is_one

    async def _do(
        self, job: RecallJob, jobs: NativeJobs, rescore: bool, clock: Clock, start: float, *, is_quick: bool
    ) -> Found:
        """Has the library's threads search and rescore, or this one, where no other request waits."""
        prepared = time.perf_counter() - start
        if is_quick and await self._is_alone():
            recalled = job.run()
        else:
            recalled = await self._sent(job, jobs, clock)
        if recalled is None:
            raise clock.exceeded()
        searched, rescored = job.find.seconds
        clock.milliseconds |= {"search": 1e3 * (prepared + searched), "rescore": 1e3 * rescored}
        return Found(recalled, rescore and job.find.is_skipped, job.sought)

    async def _sent(self, job: RecallJob, jobs: NativeJobs, clock: Clock) -> Recalled | None:
        done = jobs.send(job)
        if clock.timeout_ms is not None:
            await asyncio.wait([done], timeout=clock.remaining())
            # What hasn't begun is given up; what has is nearly there.
            if not done.done() and not job.find.has_begun:
                raise clock.exceeded()
        return await done

    def _find(self, query: UserQuery, rescore: bool, clock: Clock) -> Found:
        """Does it in this thread."""
        if clock.is_over():
            raise clock.exceeded()
        recaller = self._engine.recaller
        start = time.perf_counter()
        pool = recaller.search(query, size=pool_size(query.k) if rescore else query.k)
        start = clock.lap("search", start)
        skipped = rescore and clock.is_over()
        if skipped or not rescore:
            return Found(first(pool, query.k), skipped, pool.sought)
        recalled = recaller.rescore(pool, query.k)
        clock.lap("rescore", start)
        return Found(recalled, skipped=False, sought=pool.sought)
