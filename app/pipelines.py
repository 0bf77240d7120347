"""A pipeline for each engine, and what outlives engines: the caches of text vectors."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass

from app.cache import MemoryCache, RedisCache
from app.encoding import beginning
from app.engine import Engine
from app.in_progress import InProgress
from app.native_jobs import NativeJobs
from app.pipeline import RecallPipeline
from app.searches import Searches
from app.settings import ServiceSettings
from app.text_vectors import TextVectors
from app.user_state import UserState

# A learnt user vector and what it is made of take about 8 kB.
_MAX_SOUGHT = 2_000


@dataclass(frozen=True, slots=True)
class Threads:
    """Who works beside the event loop.

    Attributes:
        encoding: Where texts are encoded, unless the library's threads can do it.
        searching: Where what takes its time is searched, unless the library's threads can do it.
        native_encoding: The compiled library's threads that encode; None where there is no library.
        native_searching: Those that search and rescore, so that these never wait for texts.
    """

    encoding: Executor
    searching: Executor
    native_encoding: NativeJobs | None
    native_searching: NativeJobs | None


class Pipelines:
    """Makes pipelines.

    Args:
        settings: Limits, Redis.
        threads: Who works for them.
        users: What is known of users.
    """

    def __init__(self, settings: ServiceSettings, threads: Threads, users: UserState) -> None:
        self._settings = settings
        self._threads = threads
        self._users = users
        self._in_progress = InProgress()
        # Keys hold the vector space, so vectors of the old encoder are harmless to the new one.
        self._memory = MemoryCache(settings.cache_entries)
        self._redis: dict[int, RedisCache] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def make(self, engine: Engine, beside: RecallPipeline | None = None) -> RecallPipeline:
        """Returns a pipeline over an engine.

        Args:
            engine: What answers come from.
            beside: What it takes over from; with the same encoder it takes its text vectors over, too.
        """
        if beside is not None and beside.engine.encoder is engine.encoder:
            return self._pipeline(engine, beside.vectors)
        if beside is not None:
            retiring = asyncio.create_task(beside.vectors.aclose())
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
        return self._pipeline(engine, self._text_vectors(engine))

    def redis(self, engine: Engine) -> RedisCache | None:
        """Returns where an engine's vectors are cached in Redis; None without Redis."""
        return self._redis.get(engine.artifact.manifest.encoder.dim)

    async def aclose(self) -> None:
        """Waits for what old pipelines still encode or cache, then leaves Redis."""
        await asyncio.gather(*self._retiring)
        await asyncio.gather(*(redis.aclose() for redis in self._redis.values()))

    def _pipeline(self, engine: Engine, vectors: TextVectors) -> RecallPipeline:
        max_sought = min(_MAX_SOUGHT, self._settings.cache_entries)
        searches = Searches(engine, self._threads.searching, self._threads.native_searching, self._in_progress)
        return RecallPipeline(engine, vectors, searches, self._users, self._in_progress, max_sought=max_sought)

    def _text_vectors(self, engine: Engine) -> TextVectors:
        dim = engine.artifact.manifest.encoder.dim
        if self._settings.redis_url and dim not in self._redis:
            self._redis[dim] = RedisCache(
                self._settings.redis_url,
                dim=dim,
                ttl_seconds=self._settings.cache_ttl_seconds,
                timeout_seconds=self._settings.redis_timeout_ms / 1e3,
            )
        return TextVectors(
            beginning(engine.encoder, self._threads.encoding, self._threads.native_encoding, self._in_progress),
            namespace=engine.namespace,
            dim=dim,
            memory=self._memory,
            remote=self._redis.get(dim),
            max_waiting=self._settings.max_waiting_texts,
        )
