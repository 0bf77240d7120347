"""Which models the compiled encoder takes, and what it says of those that it doesn't."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from models.errors import EncoderError
from models.native.bert_files import BertFiles, _buckets
from models.native.encoder import Kernel, NativeEncoder
from tests.models.native.tiny_berts import changed, facts


def test_words_stay_in_the_models_file(folder_of) -> None:
    words = BertFiles(folder_of("mean")).words
    assert not words.flags.owndata
    assert not words.flags.writeable


@pytest.mark.parametrize("n", [1, 2, 64, 512])
def test_distances_fall_into_torchs_buckets(n: int) -> None:
    expected = MPNetEncoder.relative_position_bucket(torch.arange(1 - n, n))
    np.testing.assert_array_equal(_buckets(n), expected)


@pytest.mark.parametrize(
    ("file", "fields", "reason"),
    [
        ("config.json", {"model_type": "electra"}, "holds a electra with gelu and absolute positions, no plain BERT"),
        ("config.json", {"model_type": "mpnet"}, "encoder.relative_attention_bias.weight"),
        ("config.json", {"hidden_act": "gelu_new"}, "a bert with gelu_new"),
        ("config.json", {"position_embedding_type": "relative_key"}, "relative_key positions"),
        ("config.json", {"num_attention_heads": 4}, "no native-int8 of a model with BertShape"),
        ("config.json", {"intermediate_size": 96}, "no native-int8 of a model with BertShape"),
        ("config.json", {"intermediate_size": 192}, r"is F32 of shape \(128, 64\), not F32 of \(192, 64\)"),
        ("config.json", {"num_hidden_layers": 3}, "encoder.layer.2.attention.self.query.weight"),
        ("1_Pooling/config.json", {"pooling_mode": "max"}, "pools by"),
        ("1_Pooling/config.json", {"include_prompt": False}, "pools by"),
    ],
)
def test_other_models_are_refused(folder_of, tmp_path: Path, file: str, fields: dict, reason: str) -> None:
    folder = changed(folder_of("mean"), tmp_path, file, **fields)
    with pytest.raises(EncoderError, match=reason):
        NativeEncoder(folder, facts(64), 1, Kernel.PORTABLE)


def test_a_network_narrower_than_what_it_reads_is_refused(folder_of, tmp_path: Path) -> None:
    """Room is made for its width."""
    folder = changed(folder_of("wide heads"), tmp_path, "config.json", intermediate_size=64)
    with pytest.raises(EncoderError, match="no native-int8 of a model with BertShape"):
        NativeEncoder(folder, facts(128), 1, Kernel.PORTABLE)


def test_a_model_with_more_modules_is_refused(folder_of, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder_of("mean"), tmp_path / "copy"))
    modules = json.loads((copy / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EncoderError, match="a model of Transformer, Pooling, Dense"):
        NativeEncoder(copy, facts(64), 1, Kernel.PORTABLE)


def test_other_numbers_and_fewer_words_are_refused(folder_of, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder_of("mean"), tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    save_file({**tensors, name: tensors[name].astype(np.float16)}, copy / "model.safetensors")
    with pytest.raises(EncoderError, match="F16 of shape"):
        NativeEncoder(copy, facts(64), 1, Kernel.PORTABLE)
    name = "embeddings.word_embeddings.weight"
    save_file({**tensors, name: tensors[name][:-1]}, copy / "model.safetensors")
    with pytest.raises(EncoderError, match=r"the tokenizer knows \d+ tokens"):
        NativeEncoder(copy, facts(64), 1, Kernel.PORTABLE)
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(EncoderError, match="may give 4096 of a text"):
        NativeEncoder(copy, facts(64, max_tokens=4096), 1, Kernel.PORTABLE)
    with pytest.raises(EncoderError, match=r"vectors have 65 dimensions; the model in .* and 64 dimensions"):
        NativeEncoder(copy, facts(65), 1, Kernel.PORTABLE)


@pytest.mark.parametrize(
    ("model", "name", "reason"),
    [
        ("mean", "encoder.layer.0.output.dense.weight", "a weight is no number"),
        ("mpnet", "encoder.relative_attention_bias.weight", "what a distance adds to a score is no number"),
    ],
)
def test_what_is_no_number_is_refused(folder_of, tmp_path: Path, model: str, name: str, reason: str) -> None:
    copy = Path(shutil.copytree(folder_of(model), tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    tensors[name][0, 0] = np.nan
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(EncoderError, match=reason):
        NativeEncoder(copy, facts(64), 1, Kernel.PORTABLE)


@pytest.mark.parametrize("name", ["config.json", "modules.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["deleted", "emptied", "garbled"])
def test_a_damaged_file_is_an_encoder_error(folder_of, tmp_path: Path, name: str, damage: str) -> None:
    copy = Path(shutil.copytree(folder_of("mean"), tmp_path / "copy"))
    if damage == "deleted":
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(b"" if damage == "emptied" else b"\xff\x00garbage" * 9)
    with pytest.raises(EncoderError, match=r"(?s)holds no usable model .*; rebuild the artifact"):
        NativeEncoder(copy, facts(64), 1, Kernel.PORTABLE)
