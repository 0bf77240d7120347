"""The benchmark of the gate spoils nights as it says."""

import random
from collections import Counter
from pathlib import Path

from benchmarks.gate import nights, read_rows, without_news, write_rows
from index_builder.config import load_config
from tests.index_builder.world_tables import write
from tests.models.training.worlds import World


def test_each_night_is_what_its_name_says(tmp_path: Path) -> None:
    config = write(World(), tmp_path)
    assert config.interactions is not None
    rows = read_rows(config.interactions.path)
    spoilt = {name: spoil(rows, random.Random(0)) for name, (_, spoil) in nights(config).items()}
    items = Counter(row["item_id"] for row in rows)
    assert spoilt["normal"] == rows
    assert spoilt["emptied"] == []
    assert len(spoilt["half of the rows"]) == len(rows) // 2
    assert len({row["user_id"] for row in spoilt["half of the users"]}) == 75
    for name, share in (("shuffled", 1.0), ("half of it shuffled", 0.5)):
        same = sum(one == other for one, other in zip(spoilt[name], rows, strict=True)) / len(rows)
        assert Counter(row["item_id"] for row in spoilt[name]) == items
        assert 1 - share <= same < 1 - share + 0.1


def test_news_are_the_newest_rows_and_tables_come_back(tmp_path: Path) -> None:
    config = write(World(), tmp_path)
    assert config.interactions is not None
    rows = read_rows(config.interactions.path)
    known = without_news(rows, config, random.Random(0))
    assert len(known) == round(0.98 * len(rows))
    assert max(row["time"] for row in known) <= min(row["time"] for row in rows if row not in known)
    write_rows(known, config.interactions.path)
    assert read_rows(load_config(tmp_path / "recall.toml").interactions.path) == known  # type: ignore[union-attr]
