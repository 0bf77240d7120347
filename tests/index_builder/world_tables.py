"""Made-up worlds as tables with a recall.toml."""

import json
from pathlib import Path

from index_builder.config import BuildConfig, load_config
from tests.models.training.worlds import World


def write(world: World, folder: Path, sections: str = "") -> BuildConfig:
    """The world as tables with a recall.toml."""
    known = world.interactions
    assert known.texts is not None
    items = [{"item_id": f"i{row}", "title": text} for row, text in enumerate(world.item_texts)]
    rows = [
        {"user_id": known.user_ids[user], "item_id": f"i{item}", "text": text}
        for user, item, text in zip(known.users, known.items, known.texts, strict=True)
    ]
    if known.times is not None:
        rows = [{**row, "time": time} for row, time in zip(rows, known.times.tolist(), strict=True)]
    for name, table in (("items", items), ("interactions", rows)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    time = 'time = "time"' if known.times is not None else ""
    (folder / "recall.toml").write_text(
        '[catalogue]\npath = "items.jsonl"\ntext = ["title"]\n'
        f'[interactions]\npath = "interactions.jsonl"\ntext = "text"\n{time}\n{sections}'
    )
    return load_config(folder / "recall.toml")
