"""Puts the service together: settings → engine → pipeline → routes. Wiring only."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from app import errors, telemetry
from app.cache import MemoryCache, RedisCache
from app.engine import Engine, open_engine
from app.middleware import BodyLimit, RequestContext
from app.pipeline import RecallPipeline
from app.routes import public, router
from app.settings import ServiceSettings
from app.text_vectors import TextVectors
from models.artifact_store import ArtifactStore


def create_app(settings: ServiceSettings, *, engine: Engine | None = None) -> FastAPI:
    """Returns the service.

    Args:
        settings: Where the artifact is, limits, Redis.
        engine: An engine that is open already; by default the live artifact is opened at start.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ready = engine or open_engine(ArtifactStore(settings.artifacts), threads=settings.threads)
        with ThreadPoolExecutor(settings.threads, thread_name_prefix="recall") as executor:
            app.state.executor = executor
            app.state.redis = _redis(settings, ready)
            app.state.pipeline = _pipeline(settings, ready, executor, app.state.redis)
            telemetry.ARTIFACT_ITEMS.labels(ready.artifact_id).set(len(ready.artifact.item_ids))
            try:
                yield
            finally:
                await app.state.pipeline.aclose()
                if app.state.redis is not None:
                    await app.state.redis.aclose()

    app = FastAPI(
        title="Text recall",
        summary="From what a user wrote and consumed to candidate ids.",
        version=version("text-recall"),
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.include_router(public)
    app.include_router(router)
    errors.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestContext)  # added last, so outermost: it sees every answer
    return app


def _redis(settings: ServiceSettings, engine: Engine) -> RedisCache | None:
    if not settings.redis_url:
        return None
    return RedisCache(
        settings.redis_url,
        dim=engine.artifact.manifest.encoder.dim,
        ttl_seconds=settings.cache_ttl_seconds,
        timeout_seconds=settings.redis_timeout_ms / 1e3,
    )


def _pipeline(
    settings: ServiceSettings, engine: Engine, executor: ThreadPoolExecutor, redis: RedisCache | None
) -> RecallPipeline:
    vectors = TextVectors(
        engine.encoder.encode_user,
        namespace=engine.namespace,
        dim=engine.artifact.manifest.encoder.dim,
        executor=executor,
        memory=MemoryCache(settings.cache_entries),
        remote=redis,
        max_waiting=settings.max_waiting_texts,
    )
    return RecallPipeline(engine, vectors, executor)
