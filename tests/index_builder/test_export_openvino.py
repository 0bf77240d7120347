import logging
from pathlib import Path

import numpy as np
import pytest

from index_builder.encoder_source import find_model
from models.encoder import load_encoder
from models.encoder_openvino import GRAPH
from models.tokens import TOKENIZER
from tests.tiny_model import Prepared, prepare, write_tiny_model

TEXTS = ["", "tea", "light boots for walks in mountains", "轻便的登山靴"]


def reference(model: Path, prompt: str, texts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(find_model(str(model)).folder), device="cpu", local_files_only=True)
    return loaded.encode(texts, prompt=prompt, normalize_embeddings=True, show_progress_bar=False)


def assert_agrees(prepared: Prepared, model: Path) -> None:
    """Both sides give what sentence-transformers gives, whichever runtime was chosen."""
    encoder = load_encoder(prepared.folder, prepared.facts, 1)
    prompts = prepared.facts.prompts
    users = np.stack([encoder.encode_user(text)[0] for text in TEXTS])
    items = encoder.encode_items(TEXTS, lambda n: None)
    assert (users * reference(model, prompts.user, TEXTS)).sum(axis=1).min() > 0.9999
    assert (items * reference(model, prompts.item, TEXTS)).sum(axis=1).min() > 0.9999


def test_the_graph_holds_pooling_and_normalisation_and_whole_precision(tiny: Prepared) -> None:
    weights = (tiny.folder / "openvino_model.bin").stat().st_size
    assert weights > 0.8 * (tiny.folder / "model.safetensors").stat().st_size  # 16-bit weights would be half
    assert (tiny.folder / TOKENIZER).is_file()


def test_a_graph_that_disagrees_on_the_item_side_alone_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A model that leaves the prompt's tokens out of its mean, with a prompt before items only."""
    model = write_tiny_model(tmp_path / "model", prompts={"document": "passage: "}, include_prompt=False)
    with caplog.at_level(logging.WARNING):
        prepared = prepare(model, tmp_path / "artifact")
    assert prepared.facts.query_runtime == "torch-f32"
    assert "queries will be encoded by torch" in caplog.text
    assert not list(prepared.folder.glob(f"{Path(GRAPH).stem}.*"))
    assert_agrees(prepared, model)


def test_a_default_prompt_is_not_put_before_items(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model", prompts={"query": "query: "}, default_prompt_name="query")
    prepared = prepare(model, tmp_path / "artifact")
    assert (prepared.facts.prompts.user, prepared.facts.prompts.item) == ("query: ", "")
    assert prepared.facts.query_runtime == "openvino-f32"
    assert_agrees(prepared, model)


def test_a_model_without_a_fast_tokenizer_is_left_to_torch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from index_builder.export_openvino import export_openvino
    from models.encoder import Prompts

    with caplog.at_level(logging.WARNING):
        assert not export_openvino(None, tmp_path, dim=1, prompts=Prompts())
    assert "no fast tokenizer" in caplog.text
