"""What both artifacts are asked: nothing that one alone has learnt from."""

from pathlib import Path

import pytest

from index_builder.gate_exam import GateExam, known_exam, unseen_exam
from index_builder.known_pairs import Kept, kept_pairs
from models.artifact import Artifact
from tests.index_builder.nights import Shop, deal


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop without a clock and without a matching, built from nine tenths of its interactions."""
    shop = Shop(tmp_path_factory.mktemp("exam") / "shop", learning=False, clock=False).until(0.9)
    shop.build()
    return shop


def known(shop: Shop, min_cases: int = 1) -> tuple[GateExam, Kept, Artifact]:
    live, inputs = shop.store.open(), shop.inputs()
    assert inputs.interactions is not None
    kept = kept_pairs(live, inputs.interactions, [item.id for item in inputs.catalogue.items])
    assert kept is not None
    return known_exam(inputs, kept, live.embeddings, min_cases=min_cases), kept, live


def test_known_pairs_are_asked_and_no_news(begun: Shop, tmp_path: Path) -> None:
    shop = begun.copy(tmp_path / "shop").until(1)
    before = {(row["user_id"], row["item_id"]) for row in _rows(begun)}
    asked, kept, live = known(shop)
    assert asked.exam is not None
    users = shop.inputs().interactions
    assert users is not None
    for cases in asked.exam.cases.values():
        for case in cases:
            rows = [*case.history, *case.targets]
            assert {(users.user_ids[case.user], live.item_ids[row]) for row in rows} <= before
            assert not set(case.history) & set(case.targets)
            assert not case.is_new_user
    assert (kept.share_gone, kept.rows.sum()) == (0.0, len(_rows(begun)))
    assert (asked.exam.facts.holdout, asked.exam.facts.n_past) == ("none", len(users))


def test_a_shuffled_table_leaves_too_few_to_ask(begun: Shop, tmp_path: Path) -> None:
    shop = begun.copy(tmp_path / "shop")
    shop.change(shop.interactions, lambda rows: deal(rows, "item_id"))
    asked, kept, _ = known(shop, min_cases=60)
    assert kept.share_gone > 0.5
    assert asked.exam is None
    assert "of pairs that both artifacts learnt from, gate.min_cases asks for 60" in asked.notes[0]


def test_an_artifact_without_a_sample_is_not_asked(begun: Shop) -> None:
    asked = known_exam(begun.inputs(), None, begun.store.open().embeddings, min_cases=1)
    assert asked.exam is None
    assert "the live artifact keeps no sample" in asked.notes[0]


def test_a_live_artifact_that_learnt_nothing_is_asked_about_any_slice(begun: Shop) -> None:
    live = begun.store.open()
    assert unseen_exam(begun.inputs(), live, live.embeddings, min_cases=1).exam is not None


def test_too_few_cases_are_said_and_not_asked(begun: Shop) -> None:
    live = begun.store.open()
    asked = unseen_exam(begun.inputs(), live, live.embeddings, min_cases=10_000)
    assert asked.exam is None
    assert all("gate.min_cases asks for 10000: recall and coverage by" in note for note in asked.notes)


def _rows(shop: Shop) -> list[dict]:
    found: list[dict] = []
    shop.change(shop.interactions, found.extend)
    return found
