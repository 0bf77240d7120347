"""Which runtime is chosen, among doubles whose speed and faithfulness are made up."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from index_builder import tune_runtime
from index_builder.runtime_trial import Trial
from index_builder.tune_runtime import RuntimeChoice, choose_runtime
from models.encoder import EncoderFacts, QueryRuntime
from models.encoder_openvino import GRAPH, GRAPH_RUNTIMES, GraphRuntime
from models.errors import EncoderError
from models.native import encoder as native_encoder
from models.types import Matrix, Rows, Vector
from tests.artifacts import unit_rows
from tests.fakes import DIM, FakeEncoder, fake_facts

ITEMS = unit_rows(300, DIM, seed=3)
TEXTS = [f"text {number} about things" for number in range(30)]
INT8 = ["openvino-int8-weights", "openvino-int8"]


def rank(embeddings: Matrix) -> Rows:
    return np.argsort(-(embeddings @ ITEMS.T), axis=1)[:, :30]


TRIAL = Trial(texts=TEXTS, relevant=[np.empty(0, np.int64)] * len(TEXTS), calibration=["calm"], rank=rank)


@dataclass
class Lab:
    """Made-up runtimes.

    Attributes:
        milliseconds: What each needs for a text.
        noise: How far its vectors are off.
        loaded: What was loaded, in order.
        clock: Seconds that encoding has taken so far.
    """

    milliseconds: dict[str, float]
    noise: dict[str, float]
    loaded: list[str] = field(default_factory=list)
    clock: float = 0.0

    def load(self, folder: Path, facts: EncoderFacts, threads: int) -> FakeEncoder:
        runtime = facts.query_runtime
        assert not facts.fallbacks
        if runtime not in self.milliseconds:
            raise EncoderError(f"{runtime} is broken")
        self.loaded.append(runtime)
        lab = self

        class Timed(FakeEncoder):
            def encode_user(self, text: str) -> tuple[Vector, bool]:
                vector, cut = super().encode_user(text)
                rng = np.random.default_rng(len(text))
                off = vector + lab.noise.get(runtime, 0) * rng.standard_normal(DIM).astype(np.float32)
                lab.clock += lab.milliseconds[runtime] / 1e3
                return off / np.linalg.norm(off), cut

        return Timed()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encoder's folder; the CPU is good at everything, and int8 graphs are empty files."""

    def quantise(folder: Path, runtimes: list[QueryRuntime], **_: object) -> None:
        for runtime in set(runtimes) & set(INT8):
            for suffix in (".xml", ".bin"):
                (folder / GRAPH_RUNTIMES[runtime].graph).with_suffix(suffix).write_text(runtime)

    monkeypatch.setattr(tune_runtime, "quantise", quantise)
    monkeypatch.setattr(GraphRuntime, "runs_here", True)
    (tmp_path / GRAPH).write_text("graph")
    return tmp_path


def lab(noise: dict[str, float] | None = None, **milliseconds: float) -> Lab:
    named = {f"openvino-{name.replace('_', '-')}": ms for name, ms in milliseconds.items()}
    return Lab({"openvino-f32": 8.0, **named}, {f"openvino-{name}": off for name, off in (noise or {}).items()})


def choose(lab: Lab, folder: Path, *, asked: str = "auto", facts: EncoderFacts | None = None) -> RuntimeChoice:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_runtime, "perf_counter", lambda: lab.clock)
        return choose_runtime(asked, folder, facts or fake_facts(), trial=TRIAL, load=lab.load)


def runtimes(choice: RuntimeChoice) -> list[str]:
    return [choice.facts.query_runtime, *choice.facts.fallbacks]


def test_the_fastest_that_passes_serves_and_the_slower_ones_stand_in(folder: Path) -> None:
    choice = choose(lab(bf16=4, int8_weights=2, int8=1, noise={"int8": 0.2}), folder)
    assert runtimes(choice) == ["openvino-int8-weights", "openvino-bf16", "openvino-f32"]
    figures = choice.figures["openvino-int8"]
    assert isinstance(figures, dict)
    assert figures["passes"] is False
    assert "texts_per_second" not in figures
    assert choice.figures["openvino-f32"].keys() == {"texts_per_second"}
    assert choice.figures["openvino-bf16"]["overlap@100"] == 1.0
    assert (folder / "openvino_int8_weights.bin").exists()
    assert not list(folder.glob("openvino_int8.*"))


def test_the_compiled_encoder_is_one_of_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "modules.json").write_text("[]")
    three = lab(bf16=4, int8=2)
    three.milliseconds["native-int8"] = 1.0
    monkeypatch.setattr(native_encoder, "suits", lambda folder: False)
    assert runtimes(choose(three, folder)) == ["openvino-int8", "openvino-bf16", "openvino-f32"]
    monkeypatch.setattr(native_encoder, "suits", lambda folder: True)
    assert runtimes(choose(three, folder))[:2] == ["native-int8", "openvino-int8"]


def test_one_that_is_asked_for_and_cannot_run_is_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        choice = choose(lab(bf16=4), folder, asked="native-int8")
    assert runtimes(choice) == ["openvino-f32"]
    assert "native-int8 can't run this model on this machine: openvino-f32 serves queries" in caplog.text


def test_of_two_nearly_as_fast_the_more_faithful_serves(folder: Path) -> None:
    choice = choose(lab(int8_weights=4.0, int8=4.1, noise={"int8-weights": 0.0005}), folder)
    assert runtimes(choice)[0] == "openvino-int8"


def test_what_is_slower_than_the_reference_is_left_out(folder: Path) -> None:
    choice = choose(lab(bf16=20, int8_weights=30), folder)
    assert runtimes(choice) == ["openvino-f32"]
    assert [path.name for path in folder.iterdir()] == [GRAPH]


def test_a_runtime_that_does_not_load_is_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        choice = choose(lab(bf16=1), folder)
    assert runtimes(choice) == ["openvino-bf16", "openvino-f32"]
    assert "openvino-int8 can't serve queries: openvino-int8 is broken" in caplog.text


def test_one_that_is_asked_for_is_taken_if_it_passes(folder: Path) -> None:
    fast = lab(bf16=4, int8_weights=2, int8=1)
    assert runtimes(choose(fast, folder, asked="openvino-bf16")) == ["openvino-bf16", "openvino-f32"]
    spoilt = lab(bf16=4, noise={"bf16": 0.3})
    assert runtimes(choose(spoilt, folder, asked="openvino-bf16")) == ["openvino-f32"]


def test_the_reference_needs_no_measurement(folder: Path) -> None:
    untouched = lab(bf16=1)
    assert choose(untouched, folder, asked="openvino-f32").facts == fake_facts()
    assert untouched.loaded == []


def test_without_a_graph_there_is_nothing_to_choose_from(tmp_path: Path) -> None:
    untouched = lab()
    assert choose(untouched, tmp_path) == RuntimeChoice(fake_facts(), {})
    assert untouched.loaded == []


PARENTS = fake_facts().model_copy(
    update={"query_runtime": "openvino-int8", "fallbacks": ("openvino-bf16", "openvino-f32")}
)


def test_the_parents_choice_stays_while_it_passes(folder: Path) -> None:
    """Others are not even tried, and its graph isn't written again."""
    (folder / "openvino_int8.xml").write_text("the parent's")
    again = lab(bf16=1, int8=3)
    choice = choose(again, folder, facts=PARENTS)
    assert choice.facts == PARENTS
    assert again.loaded == ["openvino-f32", "openvino-int8"]
    assert (folder / "openvino_int8.xml").read_text() == "the parent's"
    assert choice.figures.keys() == {"openvino-int8"}


def test_the_parents_choice_goes_when_it_fails(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        choice = choose(lab(bf16=2, int8=1, noise={"int8": 0.3}), folder, facts=PARENTS)
    assert runtimes(choice) == ["openvino-bf16", "openvino-f32"]
    assert "openvino-int8 doesn't pass any more" in caplog.text


def test_asking_for_another_than_the_parents_measures_that(folder: Path) -> None:
    (folder / "openvino_int8.xml").write_text("the parent's")
    choice = choose(lab(bf16=2, int8=1), folder, asked="openvino-bf16", facts=PARENTS)
    assert runtimes(choice) == ["openvino-bf16", "openvino-f32"]
    assert not (folder / "openvino_int8.xml").exists()
    assert runtimes(choose(lab(), folder, asked="openvino-f32", facts=PARENTS)) == ["openvino-f32"]
