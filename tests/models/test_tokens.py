"""The shortcut past the tokenizers library against the library itself."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace

from models import tokens
from models.tokens import load_tokenizer, token_reader
from tests.tiny_model import HANZI, WORDS, Prepared, real_texts

CUT = 12
_pieces = st.sampled_from(
    [*WORDS.split(), "Tea", "[SEP]", "[mask]", "##a", "a" * 120, "don't", "é", HANZI, "\t", "\x7f", "\u00a0", "Ⅷ", ""]
)
texts = st.one_of(
    st.text(string.printable, max_size=80), st.text(max_size=40), st.lists(_pieces, max_size=30).map(" ".join)
)


@pytest.fixture(scope="module")
def tokenizer(tiny: Prepared) -> Tokenizer:
    return load_tokenizer(tiny.folder, CUT)


def by_library(tokenizer: Tokenizer, text: str) -> tuple[list[int], bool]:
    encoding = tokenizer.encode(text)
    return encoding.ids, bool(encoding.overflowing)


@settings(max_examples=400)
@given(text=texts)
def test_any_text_has_the_librarys_tokens(tokenizer: Tokenizer, text: str) -> None:
    assert token_reader(tokenizer, CUT)(text) == by_library(tokenizer, text)


@settings(max_examples=100)
@given(read=st.lists(texts, max_size=8))
def test_what_was_read_before_changes_nothing(tokenizer: Tokenizer, read: list[str]) -> None:
    reader = token_reader(tokenizer, CUT)
    for text in [*read, *read]:
        assert reader(text) == by_library(tokenizer, text)


@pytest.mark.real_model
def test_the_packaged_models_texts_have_the_librarys_tokens(packaged: Prepared) -> None:
    tokenizer = load_tokenizer(packaged.folder, 64)
    reader = token_reader(tokenizer, 64)
    found = [reader(text) for text in [*real_texts(), string.printable, *string.punctuation]]
    assert found == [by_library(tokenizer, text) for text in [*real_texts(), string.printable, *string.punctuation]]
    assert {was_cut for _, was_cut in found} == {True, False}


def test_words_are_asked_for_once(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = token_reader(tokenizer, CUT)
    reader("warm tea")
    monkeypatch.setattr(reader, "_ask", lambda word: pytest.fail(f"{word} was asked for again"))
    assert reader("tea, warm tea"[5:]) == by_library(tokenizer, "warm tea")


@pytest.mark.parametrize(("name", "most"), [("_MOST_KEPT", 1), ("_LONGEST_KEPT", 3)])
def test_what_is_remembered_is_bounded(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(tokens, name, most)
    reader = token_reader(tokenizer, CUT)
    for text in ("warm tea", "ground coffee", "warm tea"):
        assert reader(text) == by_library(tokenizer, text)
    assert len(reader._words) == 1


def test_added_tokens_are_found_wherever_they_begin(tokenizer: Tokenizer) -> None:
    """The library looks for them before it splits a text, in either case if they are normalised."""
    other = Tokenizer.from_str(tokenizer.to_str())
    other.add_tokens([AddedToken("Éclair", normalized=True), AddedToken("tea!", normalized=False)])
    reader = token_reader(other, CUT)
    for text in ("warm eclair", "an ECLAIR", "green tea!", "green Tea!", "coffee"):
        assert reader(text) == by_library(other, text)


def test_other_tokenizers_are_left_to_the_library(tokenizer: Tokenizer) -> None:
    other = Tokenizer.from_str(tokenizer.to_str())
    other.pre_tokenizer = Whitespace()
    assert token_reader(other, CUT)("don't") == by_library(other, "don't")
    other.pre_tokenizer = BertPreTokenizer()
    other.normalizer = None
    assert token_reader(other, CUT)("Tea") == by_library(other, "Tea")


def test_where_only_special_tokens_fit_the_library_decides(tokenizer: Tokenizer) -> None:
    other = Tokenizer.from_str(tokenizer.to_str())
    other.enable_truncation(2)
    assert token_reader(other, 2)("warm tea") == by_library(other, "warm tea")
