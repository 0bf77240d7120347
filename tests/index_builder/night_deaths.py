"""What the tests and the benchmark of killed nights share: a shop with news in its log, and what is left of it."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from index_builder.config import load_config
from index_builder.verify import verify_artifact
from models.event_stores import open_store
from models.events import START
from tests.fakes import load_fake
from tests.index_builder.events import event, ids_of
from tests.index_builder.nights import Shop

ROOT = Path(__file__).parents[2]
N_EVENTS = 60


@dataclass(frozen=True, slots=True)
class Left:
    """What a death left.

    Attributes:
        swapped: Whether the night's artifact was live already.
        live_is_sound: Whether the live artifact opened and verified.
        completed: Whether the next night did, and left nothing behind.
        lost: Acknowledged events that are nowhere.
        doubled: Events that are there more than once.
    """

    swapped: bool
    live_is_sound: bool
    completed: bool
    lost: int
    doubled: int


def prepared(folder: Path) -> Shop:
    """A shop that was built, took some events, and got more since."""
    shop = Shop(folder, learning=False).until(0.8)
    toml = folder / "recall.toml"
    toml.write_text(toml.read_text() + '[feedback]\nsource = "state"\n[publish]\nkeep = 2\n')
    _post(shop, range(N_EVENTS // 2))
    shop.night()
    shop.until(1)
    _post(shop, range(N_EVENTS // 2, N_EVENTS))
    return shop


def kill(module: str, moments: Iterable[tuple[Shop, int]]) -> str:
    """Runs `tests.killed_…` on each shop until its moment; returns what it printed."""
    arguments = [f"{shop.folder / 'recall.toml'}:{moment}" for shop, moment in moments]
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def what_is_left(shop: Shop, live_before: str | None) -> Left:
    """Looks at the live artifact, lives through the next night, and counts the events."""
    live = shop.store.current_id()
    sound = _is_sound(shop)
    night = shop.night(force=True, seed=1)
    leftovers = list(shop.store.root.glob(".staging-*"))
    seen = Counter(_known_events(shop))
    return Left(
        swapped=live != live_before,
        live_is_sound=sound,
        completed=_is_sound(shop) and night.report.live == shop.store.current_id() and not leftovers,
        lost=N_EVENTS - len(seen),
        doubled=sum(count > 1 for count in seen.values()),
    )


def _is_sound(shop: Shop) -> bool:
    return verify_artifact(shop.store.folder(), load=load_fake) is not None


def _known_events(shop: Shop) -> list[str]:
    """Returns the ids of all events, those taken and those still in the log."""
    feedback = load_config(shop.folder / "recall.toml").feedback
    assert feedback is not None
    store = open_store(feedback.source)
    try:
        waiting = [record.content.event_id for record in store.read(START, 1_000)]
    finally:
        store.close()
    return [*ids_of(feedback), *waiting]


def _post(shop: Shop, numbers: range) -> None:
    store = open_store(str(shop.folder / "state"))
    try:
        events = [event(f"e{n}", f"u{n % 7}", item_id=f"i{n % 40}", timestamp=9_000.0 + n) for n in numbers]
        assert all(store.append(events))
    finally:
        store.close()
