"""Equal inputs have one hash; whatever would change the artifact changes it."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index_builder.config import load_config
from index_builder.contents import text_recipe
from index_builder.input_facts import input_facts
from index_builder.inputs import read_inputs
from models.manifest import InputFacts
from tests.fakes import fake_facts
from tests.index_builder.shop import change_rows


def facts(demo: Path, seed: int = 0) -> InputFacts:
    config = load_config(demo / "recall.toml")
    inputs = read_inputs(config, text_recipe(config.text), rejects=demo / "rejects")
    return input_facts(inputs, config, fake_facts(seed))


def add(section: str, line: str) -> Callable[[Path], None]:
    def change(demo: Path) -> None:
        toml = (demo / "recall.toml").read_text()
        before = f"[{section}]"
        changed = toml.replace(before, f"{before}\n{line}") if before in toml else f"{toml}\n{before}\n{line}\n"
        (demo / "recall.toml").write_text(changed)

    return change


def rows(name: str, change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], None]:
    return lambda demo: change_rows(demo / f"{name}.jsonl", change)


def test_the_same_again_has_the_same_facts(demo: Path) -> None:
    first = facts(demo)
    assert facts(demo) == first
    assert first.n_interactions == 166
    assert first.newest is not None


@pytest.mark.parametrize(
    "change",
    [
        rows("items", lambda rows: rows[3].update(price=1)),
        rows("items", lambda rows: rows[3].update(title="another")),
        rows("items", lambda rows: rows.pop()),
        rows("items", lambda rows: random.Random(0).shuffle(rows)),
        rows("interactions", lambda rows: rows.pop()),
        rows("interactions", lambda rows: rows[0].update(text="another")),
        rows("interactions", lambda rows: rows[0].update(timestamp=rows[1]["timestamp"])),
        rows("interactions", lambda rows: rows[0].update(user_id="another")),
        add("text", "strip_punctuation = true"),
        add("index", 'kind = "hnsw"'),
        add("learning", "enabled = false"),
        add("encoder", "max_seq_length = 64"),
    ],
)
def test_a_change_of_the_inputs_is_a_change(demo: Path, change: Callable[[Path], None]) -> None:
    before = facts(demo)
    change(demo)
    assert facts(demo).digest != before.digest


def test_another_encoder_is_a_change(demo: Path) -> None:
    assert facts(demo, seed=1).digest != facts(demo).digest


@pytest.mark.parametrize("change", [add("publish", "keep = 9"), add("gate", "k = 10")])
def test_settings_that_change_no_artifact_are_none(demo: Path, change: Callable[[Path], None]) -> None:
    before = facts(demo)
    change(demo)
    assert facts(demo) == before


def test_times_that_only_sort_say_nothing_of_another_night(demo: Path) -> None:
    change_rows(
        demo / "interactions.jsonl", lambda rows: [row.update(timestamp=f"t{row['timestamp']}") for row in rows]
    )
    assert facts(demo).newest is None
