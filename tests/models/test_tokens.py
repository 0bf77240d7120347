"""The shortcut past the tokenizers library against the library itself."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Encoding, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace
from tokenizers.processors import TemplateProcessing

from models import tokens
from models.tokens import ReadTokens, load_tokenizer, token_reader
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


def counting(tokenizer: Tokenizer) -> tuple[ReadTokens, list[str]]:
    """A reader, and what it asks the library for."""
    asked: list[str] = []

    class Counting:
        def encode(self, text: str, **options: bool) -> Encoding:
            asked.append(text)
            return tokenizer.encode(text, **options)

    reader = token_reader(tokenizer, CUT)
    reader._tokenizer, reader._by_library = Counting(), tokens._by_library(Counting())
    return reader, asked


def test_words_are_asked_for_once(tokenizer: Tokenizer) -> None:
    reader, asked = counting(tokenizer)
    assert reader("warm tea") == by_library(tokenizer, "warm tea")
    assert reader("tea tea, warm") == by_library(tokenizer, "tea tea, warm")
    assert asked == ["warm", "tea", ","]


def test_a_text_of_many_new_words_is_asked_for_as_one(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its first words are known afterwards."""
    monkeypatch.setattr(tokens, "_MOST_ASKED", 3)
    reader, asked = counting(tokenizer)
    text = "the light boots for walks"
    for _ in range(3):
        assert reader(text) == by_library(tokenizer, text)
    assert asked == ["the", "light", "boots", text, "for", "walks"]


def test_what_lies_behind_the_cut_is_not_asked_for(tokenizer: Tokenizer) -> None:
    reader, asked = counting(tokenizer)
    assert reader("tea " * CUT + "coffee") == by_library(tokenizer, "tea " * CUT + "coffee")
    assert asked == ["tea"]


def test_words_that_nobody_uses_any_more_are_forgotten(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_MOST_KEPT", 2)
    reader, asked = counting(tokenizer)
    for word in ("tea", "warm", "light", "tea", "boots", "tea", "warm"):
        assert reader(word) == by_library(tokenizer, word)
    assert asked == ["tea", "warm", "light", "boots", "warm"]
    assert len(reader._words) + len(reader._older) <= 4


def test_long_words_are_not_remembered(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_LONGEST_KEPT", 3)
    reader, asked = counting(tokenizer)
    for _ in range(2):
        assert reader("warm tea") == by_library(tokenizer, "warm tea")
    assert asked == ["warm", "tea", "warm"]


def test_without_special_tokens_the_library_says_what_was_cut(tokenizer: Tokenizer) -> None:
    other = Tokenizer.from_str(tokenizer.to_str())
    other.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    for text in ("x9q8z7w6v5" * 5, "warm tea"):
        assert token_reader(other, CUT)(text) == by_library(other, text)


def test_a_vocabulary_without_the_simplest_word_still_reads_others(tokenizer: Tokenizer) -> None:
    other = Tokenizer(WordPiece({"warm": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    other.normalizer, other.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    other.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    assert token_reader(other, CUT)("warm") == by_library(other, "warm")


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
