import shutil
from pathlib import Path

import numpy as np
import pytest

from models.encoder import Prompts
from models.encoder_torch import TorchEncoder
from models.errors import EncoderError
from tests.tiny_model import Prepared, write_tiny_model


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "modules.json"])
@pytest.mark.parametrize("damage", ["emptied", "garbled"])
def test_a_damaged_file_is_an_encoder_error(tiny: Prepared, tmp_path: Path, name: str, damage: str) -> None:
    folder = Path(shutil.copytree(tiny.folder, tmp_path / "encoder"))
    (folder / name).write_bytes(b"" if damage == "emptied" else b"\xff\x00garbage" * 9)
    with pytest.raises(EncoderError, match=f"{folder} holds no usable sentence-transformers model"):
        TorchEncoder(folder, tiny.facts, device="cpu")


def test_the_manifests_prompts_win_over_the_models_default(tmp_path: Path, tiny: Prepared) -> None:
    """A model that says "query: " before everything must not say it before items."""
    folder = write_tiny_model(tmp_path / "default", prompts={"query": "query: "}, default_prompt_name="query")
    facts = tiny.facts.model_copy(update={"prompts": Prompts(user="query: ", item="")})
    encoder = TorchEncoder(folder, facts, device="cpu")
    prompted, plain = encoder.encode_items(["query: tea", "tea"], lambda n: None)
    assert encoder.encode_user("tea")[0] @ prompted > 0.9999
    assert prompted @ plain < 0.9999


def test_progress_comes_in_pieces(tiny: Prepared) -> None:
    steps: list[int] = []
    vectors = TorchEncoder(tiny.folder, tiny.facts, device="cpu").encode_items(["tea"] * 1_100, steps.append)
    assert steps == [512, 512, 76]
    assert vectors.shape == (1_100, tiny.facts.dim)


def test_the_length_is_the_manifests_not_the_models(tiny: Prepared) -> None:
    facts = tiny.facts.model_copy(update={"max_tokens": 6, "prompts": Prompts()})
    encoder = TorchEncoder(tiny.folder, facts, device="cpu")
    short, cut = encoder.encode_user("the web framework to")
    assert not cut
    longer, cut = encoder.encode_user("the web framework to build")
    assert cut
    np.testing.assert_allclose(short, longer, atol=1e-6)
