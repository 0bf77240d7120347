"""What tests of swaps share: small artifacts that tell themselves apart, and a service over their folder."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.factory import create_app
from app.settings import ServiceSettings
from models.artifact_store import ArtifactStore
from models.encoder import EncoderLoader
from tests.app.harness import running
from tests.artifacts import contents_of, publish, unit_rows
from tests.fakes import DIM, load_fake

ALL = 1_000  # more than any of the artifacts holds: an answer has as many candidates as its artifact items


def publish_sized(store: ArtifactStore, n_items: int, **changes: Any) -> str:
    """Publishes an artifact of so many items; it isn't live."""
    return publish(store, contents_of(unit_rows(n_items, DIM, seed=n_items)), **changes)


def go_live(store: ArtifactStore, n_items: int, **changes: Any) -> str:
    """Publishes an artifact of so many items and activates it."""
    artifact_id = publish_sized(store, n_items, **changes)
    store.activate(artifact_id)
    return artifact_id


@asynccontextmanager
async def serving_store(
    store: ArtifactStore, *, load: EncoderLoader = load_fake, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Serves the live artifact of a folder; by default it looks for a new one only when it is told to."""
    defaults = {"threads": 2, "reload_seconds": 3600, "artifacts": store.root, "state": store.root / ".state"}
    async with running(create_app(ServiceSettings(**defaults | settings), load=load)) as client:
        yield client


async def recalled(client: httpx.AsyncClient, text: str = "boots", **body: Any) -> tuple[str, int, str]:
    """Returns artifact_id, number of candidates and use of the cache of an answer."""
    response = await client.post("/recall", json={"text": text, "k": ALL, **body})
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["artifact_id"], len(answer["candidates"]), answer["cache"]


async def metric(client: httpx.AsyncClient, name: str) -> float:
    """Returns one sample of /metrics."""
    lines = (await client.get("/metrics")).text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


async def until(happens: Callable[[], Awaitable[bool]]) -> None:
    """Waits; pytest's time-out is the limit."""
    while not await happens():
        await asyncio.sleep(0.01)


def damage(store: ArtifactStore, artifact_id: str, name: str = "item_embeddings.npy") -> Callable[[], object]:
    """Breaks a file and returns what mends it."""
    path = store.root / artifact_id / name
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    return lambda: path.write_bytes(sound)
