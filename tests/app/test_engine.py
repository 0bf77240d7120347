"""An artifact made ready to serve, or refused with the file or the fact that is wrong."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.engine import Engine, open_engine, warm_engine
from models.artifact_store import ArtifactStore
from models.encoder import EncoderFacts
from models.errors import (
    ArtifactCorruptError,
    ArtifactError,
    ArtifactMismatchError,
    ArtifactMissingError,
    EncoderError,
)
from models.manifest import FileFacts, Manifest
from models.types import Vector
from tests.fakes import FakeEncoder, load_fake

FILES = [
    "manifest.json",
    "item_ids.json",
    "item_fields.jsonl",
    "item_field_offsets.npy",
    "item_text_hashes.npy",
    "item_embeddings.npy",
    "popularity.npy",
    "index.faiss",
    "relation_head.safetensors",
    "encoder/seed.txt",
    "known_pairs.npy",
]


def open_fake(store: ArtifactStore) -> Engine:
    return open_engine(store, threads=1, load=load_fake)


def test_the_live_artifact_is_opened_and_proven(store, logs):
    engine = open_fake(store)
    assert engine.artifact_id == store.current_id()
    assert engine.check() == pytest.approx(1.0)
    (line,) = logs
    assert (line["event"], line["artifact_id"]) == ("artifact_opened", engine.artifact_id)


def test_a_vector_depends_on_encoder_and_runtime(engine):
    assert engine.namespace == "fake-0:openvino-f32"


def test_the_files_here_are_all_there_are(store):
    folder = store.folder()
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(store, name):
    path = store.folder() / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ArtifactError, match=name.replace("/", ".")) as caught:
        open_fake(store)
    assert "\n" not in str(caught.value)
    assert "rebuild" in str(caught.value) or "roll back" in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(store, name):
    (store.folder() / name).unlink()
    with pytest.raises(ArtifactMissingError, match=name):
        open_fake(store)


def test_no_artifact_at_all_says_how_to_build_one(tmp_path):
    with pytest.raises(ArtifactMissingError, match="index_builder build"):
        open_fake(ArtifactStore(tmp_path))


def test_an_artifact_that_is_gone_is_named(store):
    current = store.current_id()
    shutil.rmtree(store.folder())
    with pytest.raises(ArtifactMissingError, match=current):
        open_fake(store)


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (FakeEncoder(seed=1).encode_user("any")[0], "cosine"),
        (np.ones(3, np.float32), "dim 64, the encoder gives 3"),
        (np.full(64, np.nan, np.float32), "cosine nan"),
        (np.zeros(64, np.float32), "cosine 0"),
    ],
)
def test_an_encoder_that_does_not_reproduce_the_probe_is_refused(store, vector, reason):
    class Stranger(FakeEncoder):
        def encode_user(self, text: str) -> tuple[Vector, bool]:
            return vector, False

    with pytest.raises(ArtifactMismatchError, match=reason):
        open_engine(store, threads=1, load=_loading(Stranger()))


def test_an_encoder_that_does_not_load_comes_out_as_it_is(store):
    def load(folder: Path, facts: EncoderFacts, threads: int) -> FakeEncoder:
        raise EncoderError(f"{folder.name} holds no encoder")

    with pytest.raises(EncoderError, match="encoder holds no encoder"):
        open_engine(store, threads=1, load=load)


def test_the_loader_gets_the_artifacts_encoder_and_the_cores(store):
    seen = []

    def load(folder: Path, facts: EncoderFacts, threads: int) -> FakeEncoder:
        seen.append((folder, facts, threads))
        return load_fake(folder, facts, threads)

    engine = open_engine(store, threads=3, load=load)
    assert seen == [(engine.artifact.encoder_folder, engine.artifact.manifest.encoder, 3)]


def test_an_encoder_is_taken_from_beside_only_if_nothing_of_it_changed(store):
    old = open_fake(store)
    assert warm_engine(store.open(), threads=1, load=load_fake, beside=old).encoder is old.encoder
    for changes in ({"query_runtime": "torch-f32"}, {"fingerprint": "another"}):
        other = replace(old.artifact, manifest=_with_encoder(old, **changes))
        assert warm_engine(other, threads=1, load=load_fake, beside=old).encoder is not old.encoder
    files = {**old.artifact.manifest.files, "encoder/seed.txt": FileFacts(sha256="0" * 64, bytes=1)}
    other = replace(old.artifact, manifest=old.artifact.manifest.model_copy(update={"files": files}))
    assert warm_engine(other, threads=1, load=load_fake, beside=old).encoder is not old.encoder


def test_the_check_searches_too(engine, monkeypatch):
    def broken(*arguments: object, **options: object) -> None:
        raise ArtifactCorruptError("the index is gone")

    monkeypatch.setattr(type(engine.artifact.index), "search", broken)
    with pytest.raises(ArtifactCorruptError, match="the index is gone"):
        engine.check()


def _with_encoder(engine: Engine, **changes: object) -> Manifest:
    encoder = engine.artifact.manifest.encoder.model_copy(update=changes)
    return engine.artifact.manifest.model_copy(update={"encoder": encoder})


def _loading(encoder: FakeEncoder) -> Callable[[Path, EncoderFacts, int], FakeEncoder]:
    return lambda folder, facts, threads: encoder
