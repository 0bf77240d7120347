import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder.config import EncoderConfig
from index_builder.encode import encode_items, prepare_encoder
from index_builder.encoded_chunks import EncodedChunks
from models.artifact import Artifact, open_artifact
from models.artifact_store import ArtifactStore
from models.cpu import has_bfloat16
from models.encoder import QueryRuntime, load_encoder
from models.encoder_openvino import OpenVINOEncoder
from models.errors import EncoderError
from models.native.encoder import suits
from models.text import TextRecipe
from models.types import Item, Matrix
from tests.artifacts import contents_of, publish
from tests.fakes import DIM, FakeEncoder, fake_facts
from tests.tiny_model import Prepared, prepare, real_texts, write_tiny_model


def never() -> FakeEncoder:
    raise AssertionError("nothing is new, so no model is loaded")


def parent_of(folder: Path, texts: Sequence[str]) -> Artifact:
    vectors = FakeEncoder().encode_items(texts, lambda n: None)
    items = [Item(f"i{row}", text) for row, text in enumerate(texts)]
    store = ArtifactStore(folder)
    return store.open(publish(store, replace(contents_of(vectors), items=items)))


def expected(texts: Sequence[str]) -> np.ndarray:
    return FakeEncoder().encode_items(texts, lambda n: None)


@settings(max_examples=30)
@given(old=st.lists(st.sampled_from("abcdef"), min_size=1), new=st.lists(st.sampled_from("abcdefgh"), min_size=1))
def test_each_new_text_is_encoded_once_and_every_row_is_its_texts(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str]
) -> None:
    parent, encoder = parent_of(tmp_path_factory.mktemp("parent"), old), FakeEncoder()
    encoded = encode_items(new, fake_facts(), load=lambda: encoder, parent=parent)
    np.testing.assert_array_equal(encoded.embeddings, expected(new))
    assert sorted(encoder.encoded) == sorted(set(new) - set(old))
    assert encoded.n_encoded == len(encoder.encoded)
    assert encoded.n_encoded + encoded.n_reused == len(new)


def test_without_a_parent_everything_is_new() -> None:
    encoder = FakeEncoder()
    encoded = encode_items(["a", "b", "a", ""], fake_facts(), load=lambda: encoder, parent=None)
    assert (encoded.n_encoded, encoded.n_reused) == (3, 1)
    np.testing.assert_array_equal(encoded.embeddings, expected(["a", "b", "a", ""]))


def test_the_model_is_not_loaded_for_nothing(tmp_path: Path) -> None:
    parent = parent_of(tmp_path, ["a", "b"])
    encoded = encode_items(["b", "a"], fake_facts(), load=never, parent=parent)
    assert (encoded.n_encoded, encoded.n_reused) == (0, 2)
    np.testing.assert_array_equal(encoded.embeddings, expected(["b", "a"]))


def test_another_fingerprint_reuses_nothing(tmp_path: Path) -> None:
    parent, encoder = parent_of(tmp_path, ["a", "b"]), FakeEncoder(seed=1)
    encoded = encode_items(["a", "b"], fake_facts(seed=1), load=lambda: encoder, parent=parent)
    assert encoded.n_encoded == 2
    assert encoded.embeddings.shape == (2, DIM)


# What a real model's files become.


def prepare_with(
    folder: Path, model: Path, *, parent: Artifact | None = None, recipe: TextRecipe | None = None, **config: object
) -> tuple:
    folder.mkdir()
    return prepare_encoder(
        EncoderConfig(model=str(model), **config), recipe or TextRecipe(), folder, texts=["a text"], parent=parent
    )


@pytest.fixture
def tiny_parent(tiny: Prepared, tmp_path: Path) -> Artifact:
    """An artifact with the tiny model inside."""
    store = ArtifactStore(tmp_path / "artifacts")
    vectors = tiny.load().encode_items(["a", "b", "c"], lambda n: None)
    with store.staging() as folder:
        shutil.copytree(tiny.folder, folder / "encoder")
        from tests.artifacts import write

        manifest = write(folder, contents_of(vectors), encoder=tiny.facts)
        published = store.publish(folder, manifest)
    return open_artifact(published)


def test_an_unchanged_model_is_linked_and_not_exported_again(
    tiny: Prepared, tiny_parent: Artifact, tmp_path: Path
) -> None:
    facts, _ = prepare_with(tmp_path / "next", Path(tiny.model), parent=tiny_parent)
    assert facts == tiny.facts
    names = [name for name in tiny_parent.manifest.files if name.startswith("encoder/")]
    assert "encoder/1_Pooling/config.json" in names
    assert all((tmp_path / "next" / name).samefile(tiny_parent.folder / name) for name in names)


def test_what_changes_the_vectors_changes_the_fingerprint(tiny: Prepared, tmp_path: Path) -> None:
    from index_builder.encoder_source import find_model

    def fingerprint(folder: Path, recipe: TextRecipe | None = None, **config: object) -> str:
        settings = EncoderConfig(model=str(folder), **config)
        return find_model(str(folder)).fingerprint(settings, recipe or TextRecipe(), "float32")

    model = Path(shutil.copytree(tiny.model, tmp_path / "model"))
    same = fingerprint(model)
    assert same == tiny.facts.fingerprint
    (model / "README.md").write_text("changed")
    (model / ".gitattributes").write_text("changed")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_text("changed")
    assert fingerprint(model) == same
    renamed = model.rename(tmp_path / "renamed")
    assert fingerprint(renamed) == same
    others = {
        fingerprint(renamed, TextRecipe(strip_punctuation=True)),
        fingerprint(renamed, item_prompt="x"),
        fingerprint(renamed, user_prompt="x"),
        fingerprint(renamed, truncate_dim=8),
        fingerprint(renamed, max_seq_length=8),
    }
    for name in ("model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json", "modules.json"):
        content = (renamed / name).read_bytes()
        (renamed / name).write_bytes(content + b" ")
        others.add(fingerprint(renamed))
        (renamed / name).write_bytes(content)
    assert len(others | {same}) == 11
    assert fingerprint(renamed, device="cpu") == same


def test_items_are_encoded_by_openvino_on_a_cpu(tiny: Prepared) -> None:
    assert tiny.load().runtime.startswith("openvino")


def test_a_device_that_is_not_there_is_named_once_something_is_new(tiny: Prepared, tiny_parent: Artifact) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    facts, load = prepare_with(tiny_parent.folder.parent / "next", Path(tiny.model), parent=tiny_parent, device="cuda")
    with pytest.raises(EncoderError, match=r'device is "cuda", torch .* sees none; use device = "auto"'):
        encode_items(["new"], facts, load=load, parent=None)
    # The parent has every text: no device is needed.
    texts = [f"text {row}" for row in range(3)]
    assert encode_items(texts, facts, load=load, parent=tiny_parent).n_encoded == 0


Precise = Callable[[str], np.ndarray]


def lowest_cosine(prepared: Prepared, texts: list[str], dtype: str) -> float:
    import torch

    from models.encoder_torch import TorchEncoder

    whole, lower = (
        TorchEncoder(prepared.folder, prepared.facts, device="cpu", dtype=getattr(torch, name)).encode_items(
            texts, lambda n: None
        )
        for name in ("float32", dtype)
    )
    return float((whole * lower).sum(axis=1).min())


@pytest.mark.parametrize(("initializer_range", "holds"), [(0.1, True), (1.0, False)])
def test_a_lower_precision_is_taken_only_where_it_equals_the_reference(
    tmp_path: Path, initializer_range: float, holds: bool
) -> None:
    model = write_tiny_model(tmp_path / "model", initializer_range=initializer_range)
    texts = real_texts()[:60]
    prepared = prepare(model, tmp_path / "artifact", texts=texts, dtype="bfloat16")
    assert (lowest_cosine(prepared, texts, "bfloat16") >= 0.9999) == holds
    assert prepared.facts.precision == ("bfloat16" if holds else "float32")
    loaded = prepared.load()
    assert loaded.runtime == ("openvino-bf16" if holds and has_bfloat16() else "openvino-f32")
    assert prepared.facts.query_runtime == "openvino-f32"
    from index_builder.encoder_source import find_model

    config = EncoderConfig(model=str(model), dtype="bfloat16")
    fingerprint = find_model(str(model)).fingerprint(config, TextRecipe(), prepared.facts.precision)
    assert prepared.facts.fingerprint == fingerprint
    # Whatever the items' precision, the query runtime finds them.
    items = prepared.load().encode_items(texts, lambda n: None)
    queries = OpenVINOEncoder(prepared.folder, prepared.facts, 1).encode_items(texts, lambda n: None)
    assert (items * queries).sum(axis=1).min() >= 0.9999


def test_a_build_that_died_leaves_its_chunks_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index_builder.encode._CHUNK", 4)
    texts = [f"text {number}" for number in range(10)]

    class Dying(FakeEncoder):
        def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
            if self.encoded:
                raise KeyboardInterrupt
            return super().encode_items(texts, on_done)

    chunks = EncodedChunks(tmp_path, "fake-0")
    with pytest.raises(KeyboardInterrupt):
        encode_items(texts, fake_facts(), load=Dying, parent=None, chunks=chunks)
    again = encode_items(texts, fake_facts(), load=FakeEncoder, parent=None, chunks=EncodedChunks(tmp_path, "fake-0"))
    assert (again.n_encoded, again.n_reused) == (6, 4)
    np.testing.assert_array_equal(again.embeddings, FakeEncoder().encode_items(texts, lambda n: None))


@pytest.mark.parametrize(
    ("asked", "dim", "runtime"),
    [
        ("auto", 64, "native-int8"),
        ("native-int8", 64, "native-int8"),
        ("openvino-f32", 64, "openvino-f32"),  # what serves is to read users, too
        ("auto", 32, "openvino-f32"),  # the compiled encoder computes multiples of 64
    ],
)
def test_users_are_read_as_a_service_will_where_that_is_fast(
    tmp_path: Path, asked: str, dim: int, runtime: QueryRuntime
) -> None:
    model = write_tiny_model(tmp_path / "model", dim=dim)
    facts, load = prepare_with(tmp_path / "artifact", model, query_runtime=asked, dtype="float32")
    folder = tmp_path / "artifact" / "encoder"
    expected: QueryRuntime = runtime if suits(folder) else "openvino-f32"
    reader, loaded = load_encoder(folder, facts.run_by(expected), 1), load()
    texts = real_texts()[:20]
    np.testing.assert_allclose(
        loaded.encode_users(texts, lambda n: None), reader.encode_users(texts, lambda n: None), atol=1e-6
    )
    assert loaded.runtime == "openvino-f32"
