import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.graph_inputs import graph_inputs, padded
from models.tokens import load_tokenizer
from tests.tiny_model import Prepared


@given(st.integers(1, 2_000))
def test_a_padded_length_holds_the_text_and_little_more(length: int) -> None:
    assert length <= padded(length) < length + (8 if length <= 32 else 16 if length <= 128 else 32)
    assert padded(padded(length)) == padded(length)


def test_there_are_few_lengths() -> None:
    """Each costs memory and a first slow inference."""
    assert len({padded(length) for length in range(1, 257)}) == 14


@pytest.mark.parametrize(("n_words", "length"), [(1, 8), (6, 8), (7, 16), (100, 24)])
def test_inputs_are_padded_and_masked_but_never_beyond_the_model(tiny: Prepared, n_words: int, length: int) -> None:
    tokenizer = load_tokenizer(tiny.folder, 24)
    inputs = graph_inputs([tokenizer.encode("web " * n_words).ids, tokenizer.encode("tea").ids], 24)
    tokens = min(n_words + 2, 24)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (2, length)
    np.testing.assert_array_equal(inputs["attention_mask"].sum(axis=1), [tokens, 3])
    assert (inputs["input_ids"][inputs["attention_mask"] == 0] == 0).all()
