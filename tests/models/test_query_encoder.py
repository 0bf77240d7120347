"""Which of the manifest's runtimes answers on this machine."""

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.artifact import Artifact
from models.encoder import EncoderFacts
from models.errors import ArtifactMismatchError, EncoderError
from models.query_encoder import open_query_encoder
from models.types import Vector
from tests.artifacts import memory_artifact, sealed_manifest, unit_rows
from tests.fakes import DIM, FakeEncoder, fake_facts

FACTS = fake_facts().model_copy(
    update={"query_runtime": "openvino-int8", "fallbacks": ("openvino-bf16", "openvino-f32")}
)


@pytest.fixture
def artifact() -> Artifact:
    vector, _ = FakeEncoder().encode_user("probe")
    probe = {"text": "probe", "vector": tuple(vector.tolist()), "min_cosine": 0.999}
    manifest = sealed_manifest(n_items=3, dim=DIM, encoder=FACTS, probe=probe)
    return replace(memory_artifact(unit_rows(3, DIM)), manifest=manifest)


class Noisy(FakeEncoder):
    def __init__(self, facts: EncoderFacts, noise: float) -> None:
        super().__init__()
        self.runtime, self.noise = facts.query_runtime, noise

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        vector, cut = super().encode_user(text)
        turned = vector + self.noise * np.roll(vector, 1)
        return (turned / np.linalg.norm(turned)).astype(np.float32), cut


def loading(works: Collection[str], noise: float = 0.0):
    def load(folder: Path, facts: EncoderFacts, threads: int) -> Noisy:
        assert facts.fallbacks == ()
        if facts.query_runtime not in works:
            raise EncoderError(f"this CPU can't run {facts.query_runtime}")
        return Noisy(facts, noise)

    return load


ALL = ["openvino-int8", "openvino-bf16", "openvino-f32"]


@pytest.mark.parametrize("first", range(3))
def test_the_first_that_runs_here_answers_and_the_log_says_why_not_another(
    artifact: Artifact, first: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        encoder = open_query_encoder(artifact, threads=1, load=loading(ALL[first:]))
    assert encoder.runtime == ALL[first]
    assert len(caplog.records) == first
    for missing in ALL[:first]:
        assert f"instead of {missing}: this CPU can't run {missing}" in caplog.text


def test_where_none_runs_the_last_one_says_why(artifact: Artifact) -> None:
    with pytest.raises(EncoderError, match="can't run openvino-f32"):
        open_query_encoder(artifact, threads=1, load=loading([]))


def test_a_coarse_runtime_may_be_further_from_the_probe_than_the_reference(artifact: Artifact) -> None:
    """Cosine .98: enough for int8, not for the others."""
    load = loading(ALL, noise=0.2)
    assert open_query_encoder(artifact, threads=1, load=load).runtime == "openvino-int8"
    with pytest.raises(ArtifactMismatchError, match=r"0\.999 is needed"):
        open_query_encoder(artifact, threads=1, load=loading(ALL[1:], noise=0.2))


def test_another_encoder_passes_by_no_runtime(artifact: Artifact) -> None:
    with pytest.raises(ArtifactMismatchError, match="probe"):
        open_query_encoder(artifact, threads=1, load=lambda folder, facts, threads: FakeEncoder(seed=1))


def test_the_reference_is_the_last_resort() -> None:
    assert FACTS.reference == "openvino-f32"
    assert fake_facts().reference == "openvino-f32"


def test_facts_without_fallbacks_are_written_as_they_always_were() -> None:
    assert "fallbacks" not in fake_facts().model_dump(mode="json")
    assert EncoderFacts.model_validate(fake_facts().model_dump(mode="json")) == fake_facts()
    assert EncoderFacts.model_validate(FACTS.model_dump(mode="json")) == FACTS
