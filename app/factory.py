"""Puts the service together: settings → engine → pipeline → routes. Wiring only."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.datastructures import State

from app import errors
from app.engine import Engine, open_engine
from app.live_items import LiveItems
from app.middleware import BodyLimit, RequestContext
from app.native_jobs import native_jobs
from app.pipelines import Pipelines, Threads
from app.routes import public, router
from app.routes_admin import router as admin_router
from app.routes_items import router as items_router
from app.routes_users import router as users_router
from app.settings import ServiceSettings
from app.straight import StraightRecall
from app.swap import Swapper
from app.user_state import UserState
from models.artifact_store import ArtifactStore
from models.encoder import EncoderLoader, load_encoder
from models.event_stores import open_store
from models.events import Limits
from models.live_items import LiveStore
from models.live_stores import open_live_store

_LIVE_POLL_SECONDS = 0.25


def create_app(
    settings: ServiceSettings, *, engine: Engine | None = None, load: EncoderLoader = load_encoder
) -> FastAPI:
    """Returns the service.

    Args:
        settings: Where the artifact is, limits, Redis.
        engine: An engine that is open already, for the first start; by default the live artifact is opened.
        load: Loads encoders; tests put their own.
    """

    def take_engine() -> Engine:
        nonlocal engine  # a reference kept here would keep the first artifact in memory for good
        taken, engine = engine, None
        return taken or open_engine(ArtifactStore(settings.artifacts), threads=settings.threads, load=load)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        first = take_engine()
        with (
            # One more than cores: OpenVINO infers in threads of its own, and a core would idle while one changes hands.
            ThreadPoolExecutor(settings.threads + 1, thread_name_prefix="encode") as encoding,
            # Fewer than cores: a search is many short calls, and threads that do so only wait for each other's.
            ThreadPoolExecutor(max(1, settings.threads // 2), thread_name_prefix="search") as searching,
            native_jobs(settings.threads) as native_encoding,
            native_jobs(settings.threads) as native_searching,
        ):
            app.state.users = _users(settings)
            threads = Threads(encoding, searching, native_encoding, native_searching)
            app.state.pipelines = Pipelines(settings, threads, app.state.users)
            app.state.live_items = LiveItems(_live_store(settings), poll_seconds=_LIVE_POLL_SECONDS)
            app.state.swapper = _swapper(settings, app.state, first, load)
            del first  # else it stayed in memory once another artifact has taken over
            try:
                async with (
                    app.state.live_items.following(app.state.swapper),
                    app.state.swapper.watching(settings.reload_seconds),
                ):
                    yield
            finally:
                await app.state.swapper.pipeline.aclose()
                await app.state.pipelines.aclose()
                await app.state.users.aclose()

    app = FastAPI(
        title="Text recall",
        summary="From what a user wrote and consumed to candidate ids.",
        version=version("text-recall"),
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.include_router(public)
    app.include_router(router)
    app.include_router(users_router)
    app.include_router(items_router)
    app.include_router(admin_router)
    errors.install(app)
    app.add_middleware(StraightRecall)
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestContext)  # added last, so outermost: it sees every answer
    return app


def _users(settings: ServiceSettings) -> UserState:
    limits = Limits(
        types=frozenset(settings.weights),
        items=settings.profile_items,
        texts=settings.profile_texts,
        profile_seconds=settings.profile_ttl_seconds,
        dedupe_seconds=settings.event_dedupe_seconds,
    )
    source = settings.redis_url or str(settings.state)
    store = open_store(source, limits, read_seconds=settings.redis_timeout_ms / 1e3)
    return UserState(store, settings.weights)


def _live_store(settings: ServiceSettings) -> LiveStore:
    return open_live_store(settings.redis_url or str(settings.state))


def _swapper(settings: ServiceSettings, state: State, engine: Engine, load: EncoderLoader) -> Swapper:
    make: Pipelines = state.pipelines
    live_items: LiveItems = state.live_items
    return Swapper(
        make.make(engine),
        make.make,
        live_items.dress,
        ArtifactStore(engine.artifact.folder.parent),
        threads=settings.threads,
        load=load,
    )
