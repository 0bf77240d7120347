"""A text's tokens: the tokenizers library, and a shortcut past it where that gives the same."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

TOKENIZER = "tokenizer.json"
# BERT's words of printable ASCII: letters and digits together, every other sign alone.
_WORD = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9 ]")
_LONGEST_KEPT = 20  # characters
_MOST_KEPT = 15_000  # words of a generation, of which there are two
# A text with more unknown words is the library's: asking for each costs more than asking for all.
_MOST_ASKED = 8

ReadTokens = Callable[[str], tuple[Sequence[int], bool]]
"""A text to its token ids, those that a model adds included, and whether the text was cut."""


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """Loads the tokenizer of an encoder's folder; whatever it brings along, it cuts at `max_tokens` and never pads.

    Raises:
        Exception: There is none; the library has no class of its own for that.
    """
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def token_reader(tokenizer: Tokenizer, max_tokens: int) -> ReadTokens:
    """Returns what gives a text's tokens, one text at a time; thread-safe.

    Args:
        tokenizer: As `load_tokenizer` gives it.
        max_tokens: Where it cuts.
    """
    added = tokenizer.num_special_tokens_to_add(is_pair=False)
    if not _splits_by_words(tokenizer) or not 0 < added < max_tokens:
        return _by_library(tokenizer)
    try:
        probe = tokenizer.encode("a")
    except Exception:  # its vocabulary is so small that the letter has no token; texts of others may have
        return _by_library(tokenizer)
    return _RememberedWords(tokenizer, probe, max_tokens)


def _by_library(tokenizer: Tokenizer) -> ReadTokens:
    def read(text: str) -> tuple[Sequence[int], bool]:
        encoding = tokenizer.encode(text)
        return encoding.ids, bool(encoding.overflowing)

    return read


def _splits_by_words(tokenizer: Tokenizer) -> bool:
    """Whether a word's tokens don't depend on its neighbours."""
    return (
        isinstance(tokenizer.normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.model, WordPiece)
    )


class _RememberedWords:
    """BERT's tokens, those of a word asked for once: the library takes several times as long for the same.

    Only where a text is printable ASCII and holds no sign with which a special token begins; others are the library's.
    """

    def __init__(self, tokenizer: Tokenizer, probe: Encoding, max_tokens: int) -> None:
        self._tokenizer, self._by_library = tokenizer, _by_library(tokenizer)
        self._special = _first_signs(tokenizer)
        start = probe.special_tokens_mask.index(0)
        end = len(probe.ids) - probe.special_tokens_mask[::-1].index(0)
        self._before, self._after = probe.ids[:start], probe.ids[end:]
        self._room = max_tokens - len(self._before) - len(self._after)
        self._words: dict[str, list[int]] = {}
        self._older = self._words  # words that weren't asked for since then go with it

    def __call__(self, text: str) -> tuple[Sequence[int], bool]:
        if not (text.isascii() and text.isprintable()) or any(sign in text for sign in self._special):
            return self._by_library(text)
        ids: list[int] = []
        n_asked = 0
        for word in _WORD.findall(text):
            known = self._words.get(word) or self._older.get(word)
            if known is None:
                n_asked += 1
                if n_asked > _MOST_ASKED:
                    return self._by_library(text)
                known = self._tokenizer.encode(word, add_special_tokens=False).ids
            if word not in self._words and len(word) <= _LONGEST_KEPT:
                self._keep(word, known)
            ids += known
            if len(ids) > self._room:
                break
        return [*self._before, *ids[: self._room], *self._after], len(ids) > self._room

    def _keep(self, word: str, ids: list[int]) -> None:
        if len(self._words) >= _MOST_KEPT:
            self._older, self._words = self._words, {}
        self._words[word] = ids


def _first_signs(tokenizer: Tokenizer) -> set[str]:
    """Returns the signs with which tokens begin that the library looks for before it splits a text."""
    contents = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    forms = [form for content in contents for form in (content, tokenizer.normalizer.normalize_str(content))]
    return {sign for form in forms for sign in (form[:1].lower(), form[:1].upper()) if sign}
