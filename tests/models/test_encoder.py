from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.encoder import EncoderFacts, encoder_fingerprint, load_encoder
from models.encoder_openvino import OpenVINOEncoder
from models.errors import EncoderError
from models.text import TextRecipe
from tests.fakes import fake_facts
from tests.tiny_model import Prepared

FILES = {"model.safetensors": "a" * 64, "tokenizer.json": "b" * 64, "1_Pooling/config.json": "c" * 64}
SETTINGS = {"user_prompt": None, "item_prompt": "passage: ", "truncate_dim": None, "precision": "float32"}
FINGERPRINT = encoder_fingerprint(FILES, SETTINGS, TextRecipe())


def test_the_facts_name_the_runtime(tiny: Prepared) -> None:
    assert tiny.facts.query_runtime == "openvino-f32"
    assert isinstance(load_encoder(tiny.folder, tiny.facts, 1), OpenVINOEncoder)
    other = tiny.facts.model_copy(update={"query_runtime": "torch-f32"})
    assert type(load_encoder(tiny.folder, other, 1)).__name__ == "TorchEncoder"


@pytest.mark.parametrize("runtime", ["openvino-f32", "torch-f32"])
def test_a_folder_without_a_model_is_named(tmp_path: Path, runtime: str) -> None:
    facts = fake_facts().model_copy(update={"query_runtime": runtime})
    with pytest.raises(EncoderError, match=f"{tmp_path / 'empty'} holds no usable"):
        load_encoder(tmp_path / "empty", facts, 1)


def test_facts_are_a_closed_value() -> None:
    fields = fake_facts().model_dump()
    with pytest.raises(ValidationError):
        EncoderFacts.model_validate(fields | {"pooling": "cls"})
    with pytest.raises(ValidationError):
        EncoderFacts.model_validate(fields | {"precision": "int8"})
    with pytest.raises(ValidationError):
        EncoderFacts.model_validate({**fields, "prompts": {"query": "x"}})


@pytest.mark.parametrize("name", FILES)
def test_the_fingerprint_covers_each_file(name: str) -> None:
    assert encoder_fingerprint(FILES | {name: "d" * 64}, SETTINGS, TextRecipe()) != FINGERPRINT
    without = {other: digest for other, digest in FILES.items() if other != name}
    assert encoder_fingerprint(without, SETTINGS, TextRecipe()) != FINGERPRINT


@pytest.mark.parametrize(
    "change", [{"user_prompt": "q"}, {"item_prompt": None}, {"truncate_dim": 8}, {"precision": "bfloat16"}]
)
def test_the_fingerprint_covers_each_setting(change: dict[str, object]) -> None:
    assert encoder_fingerprint(FILES, SETTINGS | change, TextRecipe()) != FINGERPRINT


@given(strip=st.booleans(), words=st.lists(st.text(max_size=3), max_size=3).map(tuple))
def test_the_fingerprint_covers_the_recipe(strip: bool, words: tuple[str, ...]) -> None:
    recipe = TextRecipe(strip_punctuation=strip, stop_words=words)
    same = recipe == TextRecipe()
    assert (encoder_fingerprint(FILES, SETTINGS, recipe) == FINGERPRINT) == same


def test_the_fingerprint_is_the_same_in_any_order_and_for_ever() -> None:
    backwards = encoder_fingerprint(
        dict(reversed(FILES.items())), dict(reversed(SETTINGS.items())), TextRecipe(stop_words=())
    )
    assert backwards == FINGERPRINT == "f523fa8a7a29f3859a47a6e7a1cbfd767f9a1123dd0ec169a835fe54569ba03c"
