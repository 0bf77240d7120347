"""A night: what is new is learnt, what is the same isn't touched, and nothing worse goes live."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from index_builder import steps
from index_builder.evaluation_page import render_gate_page
from index_builder.gate_exam import unseen_exam
from index_builder.lock import builder_lock
from index_builder.nightly import Night
from index_builder.verdict import Verdict, Worse
from models.errors import BuildLockedError, DataError
from tests.fakes import FakeEncoder
from tests.index_builder.nights import Shop, deal


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that was built when a fifth of what is known had not happened; read only."""
    shop = Shop(tmp_path_factory.mktemp("nights") / "shop").until(0.8)
    shop.build()
    return shop


@pytest.fixture
def shop(begun: Shop, tmp_path: Path) -> Shop:
    """A copy of it, to change."""
    return begun.copy(tmp_path / "shop")


@pytest.fixture
def plain(tmp_path: Path) -> Shop:
    """A shop that learns nothing, so that its nights are short."""
    shop = Shop(tmp_path / "plain", learning=False).until(0.8)
    shop.build()
    return shop


@dataclass(frozen=True)
class Grown:
    """The shop after a night with news, which was told to publish anyway and hadn't to."""

    shop: Shop
    night: Night
    cut: float
    log: list[dict]


@pytest.fixture(scope="module")
def grown(begun: Shop, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    shop = begun.copy(tmp_path_factory.mktemp("grown") / "shop").until(1)
    facts, err = shop.store.open().manifest.inputs, io.StringIO()
    assert facts is not None
    assert facts.newest is not None
    with contextlib.redirect_stderr(err):
        night = shop.night(force=True)
    log = [json.loads(line) for line in err.getvalue().splitlines() if line.startswith("{")]
    return Grown(shop, night, facts.newest, log)


def gate_of(night: Night) -> Verdict:
    assert night.report.gate is not None
    return night.report.gate


def names(verdict: Verdict, *, passed: bool) -> list[str]:
    return [figure.name for figure in verdict.figures if figure.passed is passed]


def test_the_first_night_builds_without_a_gate_and_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "new", learning=False)
    night = shop.night()
    assert (night.report.outcome, night.report.gate) == ("published", None)
    assert shop.store.current_id() == night.report.live
    assert any("no live artifact to compare with" in warning for warning in night.report.warnings)
    assert any("not gated" in line for line in night.report.lines())


def test_a_damaged_live_artifact_is_replaced_without_a_gate(plain: Shop) -> None:
    (plain.store.folder() / "popularity.npy").write_bytes(b"")
    night = plain.night()
    assert (night.report.outcome, night.report.gate) == ("published", None)
    assert any("the live artifact can't be reused" in warning for warning in night.report.warnings)
    assert plain.store.open()


def test_a_night_with_news_compares_on_what_the_live_artifact_has_not_seen(grown: Grown) -> None:
    verdict, evaluation = gate_of(grown.night), grown.night.evaluation
    assert grown.night.report.outcome == "published"
    assert (verdict.against, verdict.passed, verdict.forced) == (grown.shop.store.ids()[0], True, False)
    assert {"recall@10 by history", "recall@10 by text", "coverage@10 by history"} <= set(names(verdict, passed=True))
    assert evaluation is not None
    assert evaluation.data.cut is not None
    assert evaluation.data.cut > grown.cut
    assert evaluation.data.n_past == round(0.8 * evaluation.data.n_interactions)
    assert [ranker.name for ranker in evaluation.rankers] == ["tonight's", "live"]


def test_what_is_published_learnt_from_everything_and_its_manifest_keeps_the_verdict(grown: Grown) -> None:
    """Without users: an artifact outlives an erasure."""
    manifest, known = grown.shop.store.open().manifest, grown.shop.known
    assert manifest.inputs is not None
    assert known.times is not None
    assert (manifest.inputs.n_interactions, manifest.inputs.newest) == (len(known), known.times.max())
    kept = manifest.quality["gate"]
    assert isinstance(kept, dict)
    assert (kept["passed"], kept["forced"], kept["against"]) == (True, False, manifest.parent)
    assert "worse" not in kept


def test_each_step_is_logged_with_time_and_counts(grown: Grown) -> None:
    by_step = {line["step"]: line for line in grown.log if line["event"] == "step"}
    assert list(by_step) == [
        "read", "encoder", "encode", "hold out", "learn the past", "index", "compare", "learn",
        "compare known pairs", "gate", "runtime", "write", "verify", "publish",
    ]  # fmt: skip
    assert all(line["seconds"] >= 0 for line in by_step.values())
    assert (by_step["read"]["items"], by_step["encode"]["reused"]) == (40, 40)
    assert grown.log[-1]["outcome"] == "published"


@pytest.mark.parametrize("before", ["a build", "a night"])
def test_an_unchanged_night_encodes_and_fits_nothing(
    before: str, begun: Shop, grown: Grown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = (begun if before == "a build" else grown.shop).copy(tmp_path / "same")
    state = (shop.store.current_id(), shop.store.ids())

    def fit(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be learnt")

    monkeypatch.setattr(steps, "learn", fit)
    monkeypatch.setattr(steps, "index_of", fit)
    encoder = FakeEncoder()
    night = shop.night(encoder=encoder)
    assert (night.report.outcome, night.report.build, night.report.gate) == ("unchanged", None, None)
    assert (shop.store.current_id(), shop.store.ids()) == state
    assert encoder.encoded == []
    assert set(night.report.seconds) == {"read", "encoder"}
    assert night.report.lines()[-1].startswith(f"nothing changed since artifact {state[0]}")


def test_only_changed_texts_are_encoded_again(plain: Shop) -> None:
    plain.change(plain.items, lambda rows: rows[7].update(title="item 7 word0 renewed"))
    encoder = FakeEncoder()
    night = plain.night(encoder=encoder)
    assert encoder.encoded_items == ["item 7 word0 renewed"]
    assert night.report.build is not None
    assert (night.report.build.n_encoded, night.report.build.n_reused) == (1, 39)
    # Users' texts are read by the same encoder: on a GPU, if items are encoded there.
    assert any(text.startswith("said") for text in encoder.encoded)


def test_without_news_recall_is_not_compared_and_the_gate_says_so(shop: Shop) -> None:
    """The live artifact would win by what it remembers."""
    asked = unseen_exam(shop.inputs(), shop.store.open(), shop.store.open().embeddings, min_cases=1)
    assert asked.exam is None
    assert asked.notes == (
        "recall and coverage aren't compared on news: no interaction is newer than those that the live artifact learnt"
        " from",
    )


def _half(rows: list[dict]) -> None:
    del rows[::2]


BAD_NIGHTS: dict[str, tuple[Callable[[Shop], object], str]] = {
    "items halved": (lambda shop: shop.change(shop.items, _half), "items"),
    "interactions halved": (lambda shop: shop.change(shop.interactions, _half), "interactions"),
    "texts shuffled": (lambda shop: shop.change(shop.items, lambda rows: deal(rows, "title")), "texts changed"),
    "consumers shuffled": (
        lambda shop: shop.change(shop.interactions, lambda rows: deal(rows, "item_id")),
        "known pairs gone",
    ),
}


@pytest.mark.parametrize("name", BAD_NIGHTS)
def test_a_bad_night_stays_outside(shop: Shop, name: str) -> None:
    spoil, figure = BAD_NIGHTS[name]
    before = (shop.store.current_id(), shop.store.ids())
    spoil(shop)
    night = shop.night()
    assert night.report.outcome == "refused"
    assert figure in names(gate_of(night), passed=False)
    assert (shop.store.current_id(), shop.store.ids()) == before
    assert night.report.live == before[0]
    assert not list(shop.store.root.glob(".staging-*"))


def test_users_whose_candidates_got_worse_are_named(shop: Shop) -> None:
    """The texts of half the items are dealt anew in a night with news."""
    shop.until(1).change(shop.items, lambda rows: deal(rows, "title"))
    night = shop.night()
    verdict = gate_of(night)
    assert {"texts changed", "recall@10 by text"} <= set(names(verdict, passed=False))
    assert verdict.worse
    assert all(user.new < user.live and user.user_id in shop.known.user_ids for user in verdict.worse)
    assert night.evaluation is not None
    losses = [user.live - user.new for user in verdict.worse]
    assert losses == sorted(losses, reverse=True)


def test_news_that_are_nonsense_stay_outside(shop: Shop) -> None:
    """A fit on the past is as good as ever: it is the one on everything that gives them away."""

    def spoil(rows: list[dict]) -> None:
        news = sorted(rows, key=lambda row: row["time"])[round(0.8 * len(rows)) :]
        deal(news, "item_id")

    shop.until(1).change(shop.interactions, spoil)
    verdict = gate_of(shop.night())
    assert {"recall@10 by history", "recall@10 by text"} <= set(names(verdict, passed=True))
    assert {"validation recall@10 by history"} <= set(names(verdict, passed=False))


@pytest.mark.parametrize("table", ["items", "interactions"])
def test_an_emptied_table_stays_outside(shop: Shop, table: str) -> None:
    before = (shop.store.current_id(), shop.store.ids())
    getattr(shop, table).write_text("")
    with pytest.raises(DataError):
        shop.night()
    assert (shop.store.current_id(), shop.store.ids()) == before


def test_interactions_that_are_gone_altogether_stay_outside(shop: Shop) -> None:
    toml = shop.folder / "recall.toml"
    text = toml.read_text()
    toml.write_text(text[: text.index("[interactions]")] + text[text.index("[gate]") :])
    assert names(gate_of(shop.night()), passed=False) == ["interactions"]


def test_force_publishes_what_the_gate_refuses_and_the_manifest_says_so(plain: Shop) -> None:
    plain.change(plain.items, _half)
    night = plain.night(force=True)
    assert night.report.outcome == "published"
    assert gate_of(night).forced
    manifest = plain.store.open().manifest
    kept = manifest.quality["gate"]
    assert isinstance(kept, dict)
    assert (kept["passed"], kept["forced"]) == (False, True)
    assert (manifest.index.n_items, plain.store.current_id()) == (20, night.report.live)


def test_another_encoder_is_compared_with_the_live_one_by_its_own(plain: Shop) -> None:
    night = plain.night(seed=1)
    assert night.report.build is not None
    assert night.report.build.n_encoded == 40
    assert "recall@10 by text" in {figure.name for figure in gate_of(night).figures}


def test_a_night_and_a_build_exclude_each_other(plain: Shop) -> None:
    with builder_lock(plain.store.root), pytest.raises(BuildLockedError):
        plain.night()


def test_the_page_shows_verdict_users_and_both_artifacts(grown: Grown) -> None:
    worse = [Worse(user_id="<u7>", task="history", new=0.0, live=0.5)]
    verdict = gate_of(grown.night).model_copy(update={"worse": worse})
    page = render_gate_page(verdict, grown.night.evaluation, title="Gate of x")
    assert "the gate passed against" in page
    assert all(figure.name in page for figure in verdict.figures)
    assert "&lt;u7&gt;" in page
    assert "tonight&#39;s" in page
    assert page.count("</html>") == 1


def test_the_page_does_without_a_comparison(shop: Shop) -> None:
    shop.change(shop.items, _half)
    verdict = gate_of(shop.night())
    page = render_gate_page(verdict, None, title="Gate of x")
    assert "the gate says no" in page
    assert "recall and coverage aren&#39;t compared" in page
    assert "Users whose" not in page
