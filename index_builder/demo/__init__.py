"""The demo: a folder with a recall.toml and data to build from.

The data is Debian's package index, read on the spot, or a small catalogue written for this project. Knows the
files of a demo folder, and nothing of building.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from index_builder.demo.debian import PackageDemo, debian_demo
from models.errors import ConfigError, DataError

__all__ = ["DemoReport", "small_catalogue_folder", "write_demo"]

_MARK: Final = "# Written by `python -m index_builder demo`"
_FILES: Final = ("items.jsonl", "interactions.jsonl", "interactions.parquet", "recall.toml")


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What was written.

    Attributes:
        source: Where the data comes from.
        n_items: Items in the catalogue.
        n_users: Users with interactions.
        n_interactions: Rows of the interactions file.
        note: Why it is the small catalogue, when Debian's was tried; else empty.
    """

    source: Literal["debian", "small"]
    n_items: int
    n_users: int
    n_interactions: int
    note: str = ""

    def lines(self) -> list[str]:
        """Gives the report as sentences for a terminal."""
        data = "Debian's package index" if self.source == "debian" else "the small catalogue"
        counts = f"{self.n_items:,} items, {self.n_users:,} users, {self.n_interactions:,} interactions from {data}"
        return [self.note, counts] if self.note else [counts]


def write_demo(
    folder: Path, *, source: Literal["auto", "debian", "small"] = "auto", artifacts: Path | None = None
) -> DemoReport:
    """Writes a recall.toml and the data it names into a folder.

    Each file is written under a temporary name and renamed, recall.toml last: where it is, the demo is
    complete. A demo that is there already is replaced.

    Args:
        folder: Created where it is missing.
        source: "debian" is the package index (about 10 k items), read through apt; "small" the catalogue that
            comes with this package; "auto" the index where apt works, else the small catalogue.
        artifacts: The artifacts folder that recall.toml names; default `artifacts` beside it.

    Raises:
        ConfigError: The folder can't be written, or holds files of these names that are not a demo's.
        DataError: With "debian", apt is missing or failed.
    """
    _refuse_foreign_files(folder)
    if source == "small":
        return _write_small(folder, artifacts, note="")
    try:
        demo = debian_demo()
    except DataError as error:
        if source == "debian":
            raise
        note = f"Debian's package index can't be read here, so this is the small catalogue: {error}"
        return _write_small(folder, artifacts, note=note)
    return _write_debian(folder, artifacts, demo)


def small_catalogue_folder() -> Path:
    """Gives the folder of the small catalogue: items.jsonl, interactions.jsonl and their recall.toml."""
    return Path(str(resources.files(__name__) / "small"))


def _refuse_foreign_files(folder: Path) -> None:
    config = folder / "recall.toml"
    if config.is_file() and config.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
        return
    for name in _FILES:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} exists and belongs to no demo; give another folder, or move it away")


def _write_small(folder: Path, artifacts: Path | None, *, note: str) -> DemoReport:
    data = small_catalogue_folder()
    _replace(
        folder,
        {
            "items.jsonl": _copy(data / "items.jsonl"),
            "interactions.jsonl": _copy(data / "interactions.jsonl"),
            "recall.toml": _config(data / "recall.toml", artifacts),
        },
    )
    items = (data / "items.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in (data / "interactions.jsonl").read_text(encoding="utf-8").splitlines()]
    return DemoReport("small", len(items), len({row["user_id"] for row in rows}), len(rows), note)


def _write_debian(folder: Path, artifacts: Path | None, demo: PackageDemo) -> DemoReport:
    table = _interactions(demo)
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in demo.items]
    template = Path(str(resources.files(__name__) / "debian.toml"))
    _replace(
        folder,
        {
            "items.jsonl": lambda path: path.write_text("".join(lines), encoding="utf-8"),
            "interactions.parquet": lambda path: pq.write_table(table, path, compression="zstd"),
            "recall.toml": _config(template, artifacts),
        },
    )
    return DemoReport("debian", len(demo.items), len(demo.related), table.num_rows)


def _interactions(demo: PackageDemo) -> pa.Table:
    users = [(user, n) for n, (user, items) in enumerate(demo.related.items()) for _ in items]
    # A user's text stands on each of its rows; the dictionary keeps it once.
    texts = pa.DictionaryArray.from_arrays(
        pa.array([n for _, n in users], pa.int32()), pa.array([demo.texts[user] for user in demo.related])
    )
    items = [item for items in demo.related.values() for item in items]
    return pa.table({"user_id": [user for user, _ in users], "item_id": items, "text": texts})


def _replace(folder: Path, files: dict[str, Callable[[Path], object]]) -> None:
    temporary = {name: folder / f".{name}.tmp" for name in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in files.items():
            write(temporary[name])
        for name in files:  # recall.toml is the last of them
            temporary[name].replace(folder / name)
        for name in {*_FILES} - {*files}:  # of an earlier demo with another source
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"the demo can't be written into {folder}: {error}; give another folder") from error
    finally:
        for path in temporary.values():
            with suppress(OSError):
                path.unlink()


def _copy(source: Path) -> Callable[[Path], object]:
    return lambda path: shutil.copyfile(source, path)


def _config(template: Path, artifacts: Path | None) -> Callable[[Path], object]:
    text = template.read_text(encoding="utf-8")
    if artifacts is not None:
        # A JSON string is a TOML string; the command line's path is relative to elsewhere, so it is made absolute.
        value = json.dumps(str(artifacts.resolve()), ensure_ascii=False)
        text = text.replace('artifacts = "artifacts"', f"artifacts = {value}")
    return lambda path: path.write_text(text, encoding="utf-8")
