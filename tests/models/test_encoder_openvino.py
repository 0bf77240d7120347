import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from models.encoder_openvino import GRAPH, OpenVINOEncoder
from models.errors import EncoderError
from models.tokens import TOKENIZER
from tests.tiny_model import Prepared


@pytest.fixture
def folder(tiny: Prepared, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.folder, tmp_path / "encoder"))


@pytest.mark.parametrize("name", [GRAPH, "openvino_model.bin", TOKENIZER])
@pytest.mark.parametrize("damage", ["deleted", "emptied", "garbled"])
def test_a_damaged_file_is_an_encoder_error(tiny: Prepared, folder: Path, name: str, damage: str) -> None:
    if damage == "deleted":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(b"" if damage == "emptied" else b"\xff\x00garbage" * 9)
    with pytest.raises(EncoderError, match=rf"(?s){folder} holds no usable OpenVINO encoder .*; rebuild the artifact"):
        OpenVINOEncoder(folder, tiny.facts, 1)


def test_only_graph_and_tokenizer_are_read(tiny: Prepared, folder: Path) -> None:
    """A service needs no file that torch would load."""
    for path in list(folder.rglob("*")):
        if path.is_file() and path.name not in (GRAPH, "openvino_model.bin", TOKENIZER):
            path.unlink()
    vector, _ = OpenVINOEncoder(folder, tiny.facts, 1).encode_user("web framework")
    np.testing.assert_allclose(vector, tiny.load().encode_user("web framework")[0], atol=1e-6)


def test_truncation_and_padding_that_a_tokenizer_brings_along_are_replaced(tiny: Prepared, folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(folder / TOKENIZER))
    expected, cut = tiny.load().encode_user("the web framework to build")
    vector, also_cut = OpenVINOEncoder(folder, tiny.facts, 1).encode_user("the web framework to build")
    np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert (cut, also_cut) == (False, False)


def test_the_answer_is_a_copy_that_the_next_one_leaves_alone(tiny: Prepared) -> None:
    encoder = OpenVINOEncoder(tiny.folder, tiny.facts, 1)
    first, _ = encoder.encode_user("tea")
    kept = first.copy()
    encoder.encode_user("boots")
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_vector(tiny: Prepared, threads: int) -> None:
    texts = [f"{'web ' * n}tea" for n in range(70)]
    vectors = OpenVINOEncoder(tiny.folder, tiny.facts, threads).encode_items(texts, lambda n: None)
    expected = OpenVINOEncoder(tiny.folder, tiny.facts, 1).encode_items(texts, lambda n: None)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
