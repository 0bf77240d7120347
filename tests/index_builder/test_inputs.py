"""What is read and what is said about it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from index_builder.config import load_config
from index_builder.contents import text_recipe
from index_builder.inputs import Inputs, read_inputs
from tests.index_builder.shop import change_rows


def read(demo: Path, time_of: Callable[[int], object]) -> Inputs:
    """The demo's inputs with times that a test made up."""
    change_rows(
        demo / "interactions.jsonl",
        lambda rows: [row.update(timestamp=time_of(number)) for number, row in enumerate(rows)],
    )
    config = load_config(demo / "recall.toml")
    return read_inputs(config, text_recipe(config.text), rejects=demo / "rejects")


@pytest.mark.parametrize(
    ("time_of", "warned"),
    [
        (lambda number: number, False),
        (lambda number: f"2024-01-{number % 28 + 1:02}", False),
        (lambda number: f"{number % 28 + 1}/1/2024 8:26", False),
        (lambda number: f"Jan {number % 28 + 1}, 2024", True),
    ],
    ids=["numbers", "iso", "calendar", "text"],
)
def test_times_that_only_sort_as_text_are_warned_of(
    demo: Path, time_of: Callable[[int], object], *, warned: bool
) -> None:
    warnings = read(demo, time_of).warnings
    assert any("timestamp, holds text, which orders events as text sorts" in line for line in warnings) is warned
