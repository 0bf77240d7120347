"""Whenever a night dies, the live artifact is sound, the next night completes, and each event counts once.

The long version is `python -m benchmarks.nightly_kill`.
"""

import random
from pathlib import Path

from tests.index_builder.night_deaths import kill, prepared, what_is_left


def test_a_night_killed_at_any_moment_leaves_everything_sound(tmp_path: Path) -> None:
    shop = prepared(tmp_path / "shop")
    live = shop.store.current_id()
    total = int(kill("tests.killed_night", [(shop.copy(tmp_path / "whole"), 0)]))
    moments = sorted({*random.Random(5).sample(range(2, total), 5), total})
    copies = {moment: shop.copy(tmp_path / f"killed-{moment}") for moment in moments}
    assert not kill("tests.killed_night", [(copy, moment) for moment, copy in copies.items()])
    found = [what_is_left(copy, live) for copy in copies.values()]
    assert all(left.live_is_sound and left.completed for left in found)
    assert all((left.lost, left.doubled) == (0, 0) for left in found)
    assert not found[0].swapped  # they died on both sides of the swap
    assert found[-1].swapped
