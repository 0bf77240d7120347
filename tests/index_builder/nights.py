"""What tests of nights share: a shop whose tables grow by day, and its nights with the fake encoder."""

import json
import random
import shutil
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

from index_builder.config import load_config
from index_builder.inputs import Inputs, read_inputs
from index_builder.nightly import Night, nightly
from models.artifact_store import ArtifactStore
from models.text import TextRecipe
from models.training.interactions import Interactions
from tests.fakes import FakeEncoder, load_fake, prepare_fake
from tests.index_builder.shop import change_rows, rebuild, rows_of
from tests.index_builder.world_tables import write
from tests.models.training.worlds import World

Row = dict[str, Any]


class Shop:
    """A world as tables.

    Args:
        folder: Where.
        learning: Whether a matching is learnt.
        clock: Whether interactions have a time.
    """

    def __init__(self, folder: Path, *, learning: bool = True, clock: bool = True) -> None:
        self.folder = folder
        folder.mkdir()
        world = World(n_themes=4, per_theme=10, n_users=80, per_user=6, ordered=clock)
        self.known: Interactions = world.interactions
        learns = "true" if learning else "false"
        write(world, folder, f"[learning]\nenabled = {learns}\n[gate]\nk = 10\nmin_cases = 20\n")
        self._all = rows_of(self.interactions)
        self.store = ArtifactStore(folder / "artifacts")

    @property
    def items(self) -> Path:
        return self.folder / "items.jsonl"

    @property
    def interactions(self) -> Path:
        return self.folder / "interactions.jsonl"

    def until(self, share: float) -> "Shop":
        """Leaves the oldest share of the interactions, any share without a clock; 1 brings all of them."""
        rows = random.Random(0).sample(self._all, len(self._all))
        rows = sorted(rows, key=lambda row: row.get("time", 0))[: round(share * len(rows))]
        self.interactions.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return self

    def change(self, path: Path, change: Callable[[list[Row]], object]) -> None:
        change_rows(path, change)

    def build(self, **more: Any) -> str:
        return rebuild(self.folder, **more).artifact_id

    def night(self, *, force: bool = False, seed: int = 0, encoder: FakeEncoder | None = None) -> Night:
        config = load_config(self.folder / "recall.toml")
        return nightly(config, force=force, prepare=prepare_fake(seed, encoder), load=load_fake)

    def inputs(self) -> Inputs:
        return read_inputs(load_config(self.folder / "recall.toml"), TextRecipe(), rejects=self.folder / "rejects")

    def copy(self, folder: Path) -> "Shop":
        shutil.copytree(self.folder, folder, symlinks=True)
        other = copy(self)
        other.folder, other.store = folder, ArtifactStore(folder / "artifacts")
        return other


def deal(rows: list[Row], key: str, *, seed: int = 0) -> None:
    """Shuffles one column over the rows."""
    values = [row[key] for row in rows]
    random.Random(seed).shuffle(values)
    for row, value in zip(rows, values, strict=True):
        row[key] = value
