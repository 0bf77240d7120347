"""Nights of a shop whose interactions have no time: both artifacts are asked about pairs that both have learnt from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index_builder import steps
from index_builder.learn import Lesson, learn
from models.errors import DataError
from tests.index_builder.nights import Shop, deal

NEWS = 0.02


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that was built from all but the news; read only."""
    shop = Shop(tmp_path_factory.mktemp("unordered") / "shop", clock=False).until(1 - NEWS)
    shop.build()
    return shop


def failed(shop: Shop) -> tuple[str, dict[str, str]]:
    report = shop.night().report
    assert report.gate is not None
    return report.outcome, {figure.name: figure.says for figure in report.gate.figures if not figure.passed}


def test_a_normal_night_is_compared_and_published(begun: Shop, tmp_path: Path) -> None:
    night = begun.copy(tmp_path / "shop").until(1).night()
    verdict = night.report.gate
    assert verdict is not None
    assert (night.report.outcome, verdict.passed) == ("published", True)
    assert {"recall@10 by history of known pairs", "coverage@10 by history of known pairs"} <= {
        figure.name for figure in verdict.figures
    }
    assert any("no clock says what is new" in note for note in verdict.notes)
    assert night.evaluation is not None
    assert night.evaluation.data.holdout == "none"


def _half_the_users(rows: list[dict]) -> None:
    rows[:] = [row for row in rows if int(row["user_id"][1:]) % 2]


@pytest.mark.parametrize(
    "spoil", [lambda rows: deal(rows, "item_id"), _half_the_users], ids=["shuffled", "half the users"]
)
def test_a_bad_night_stays_outside_and_says_how_much_is_gone(
    begun: Shop, tmp_path: Path, spoil: Callable[[list[dict]], None]
) -> None:
    shop = begun.copy(tmp_path / "shop").until(1)
    live = shop.store.current_id()
    shop.change(shop.interactions, spoil)
    outcome, says = failed(shop)
    assert outcome == "refused"
    assert "% of the user-item pairs that the live artifact was built from are gone" in says["known pairs gone"]
    assert shop.store.current_id() == live


def test_an_emptied_table_stays_outside(begun: Shop, tmp_path: Path) -> None:
    shop = begun.copy(tmp_path / "shop")
    shop.change(shop.interactions, list.clear)
    with pytest.raises(DataError):
        shop.night()


def test_a_fit_that_went_wrong_is_found_by_what_it_recalls(
    begun: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is as it should be, item vectors stand beside the wrong items: users who lost by it are named."""

    def learn_out_of_step(*args: Any, **more: Any) -> Lesson:
        lesson = learn(*args, **more)
        assert lesson.learnt is not None
        turned = np.ascontiguousarray(lesson.learnt.item_vectors[::-1])
        return replace(lesson, learnt=replace(lesson.learnt, item_vectors=turned))

    shop = begun.copy(tmp_path / "shop").until(1)
    monkeypatch.setattr(steps, "learn", learn_out_of_step)
    night = shop.night()
    verdict = night.report.gate
    assert verdict is not None
    names = [figure.name for figure in verdict.figures if not figure.passed]
    assert night.report.outcome == "refused"
    assert "recall@10 by history of known pairs" in names
    assert "known pairs gone" not in names
    assert verdict.worse
    assert all(user.new < user.live for user in verdict.worse)
