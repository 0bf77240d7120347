"""The text recipe: how raw text becomes what the encoder reads, the same for items and for users.

Pure: no model, no I/O. The recipe is a value in the manifest, so an index and the service that queries it
can't clean text differently. Markdown and other plain-text markup is left alone: encoders know it.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import count
from typing import Literal

from pydantic import BaseModel, ConfigDict

# Text beyond this never reaches an encoder (a token is rarely longer than a word), so it isn't cleaned either.
MAX_CHARS = 20_000

_TAGS = (
    "abbr|acronym|address|article|aside|audio|bdi|bdo|big|blockquote|body|br|button|canvas|caption|center|"
    "cite|code|col|colgroup|data|datalist|dd|del|details|dfn|dialog|div|dl|dt|em|embed|fieldset|figcaption|"
    "figure|font|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|ins|kbd|label|legend|li|link|main|"
    "map|mark|meta|meter|nav|noscript|object|ol|optgroup|option|output|picture|pre|progress|rp|rt|ruby|"
    "samp|section|select|small|source|span|strike|strong|style|script|sub|summary|sup|svg|table|tbody|td|"
    "template|textarea|tfoot|th|thead|time|title|tr|track|tt|ul|var|video|wbr"
)
_HTML = re.ASCII | re.IGNORECASE  # else "i" matches the Turkish "ı" too
# Only known tags: in "if x<y and a>b" an HTML parser would swallow everything between the signs. One letter is a
# tag only bare or with an attribute's "=": "if a<b and c>d" is no bold text.
_TAG = re.compile(rf"</?(?:(?:{_TAGS})(?:[\s/][^<>]*)?|[abipqsu](?:\s*/?|\s[^<>=]*=[^<>]*))>", _HTML)
_OPENING = re.compile(r"<(?:!--|(script|style)(?=[\s/>])[^<>]*>)", _HTML)
_CLOSING = {
    "comment": re.compile("-->"),
    "script": re.compile(r"</script\s*>", _HTML),
    "style": re.compile(r"</style\s*>", _HTML),
}
# "&amp;amp;lt;" is unescaped in one step, so that the fixed point below comes after a few rounds.
_NESTED_AMPERSAND = re.compile(r"&(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)
# Python refuses to read thousands of digits as a number.
_ENDLESS_REFERENCE = re.compile(r"&#[0-9]{100,};?")
# Text that is still changing then was made to ("<b<b<b>>>" loses one pair a round): its signs go at once.
_MAX_ROUNDS = 8
_SIGNS = str.maketrans("<>&", "   ")
# Normalisation sorts the marks on a letter in quadratic time; no script has words with so many.
_MAX_MARKS = 32
_SIGN_RUN = re.compile(r"[^\w\s\x00-\x7f]{33,}")  # where such marks can be: a quick look spares most texts


class TextRecipe(BaseModel):
    """How raw text is cleaned.

    Attributes:
        version: Changes whenever the same switches give another result.
        strip_punctuation: Whether punctuation becomes a blank.
        stop_words: Words that are dropped, in lower case; they stand here in full, so that a newer word list
            can't change an old artifact. Languages written without blanks have no words to drop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    strip_punctuation: bool = False
    stop_words: tuple[str, ...] = ()

    def clean(self, text: str) -> str:
        """Returns `text` with markup, and what the switches name, removed and white space folded.

        NFKC, HTML comments, scripts and known tags out, entities resolved; cleaning twice changes nothing.
        """
        text = text[:MAX_CHARS]
        if not self.strip_punctuation and not self.stop_words and _is_plain(folded := " ".join(text.split())):
            return folded
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates can't be tokenised
        for number in count(1):
            cleaned = self._clean_once(text)
            if cleaned == text:
                break
            text = cleaned if number < _MAX_ROUNDS else cleaned.translate(_SIGNS)
        return text

    def item_text(self, parts: Sequence[str]) -> str:
        """Returns the clean text of an item, its text fields joined in their order."""
        return self.clean(" ".join(part for part in parts if part))

    def _clean_once(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", _SIGN_RUN.sub(_few_marks, text))[:MAX_CHARS]
        text = _TAG.sub(" ", _without_hidden(text))
        text = html.unescape(_ENDLESS_REFERENCE.sub(" ", _NESTED_AMPERSAND.sub("&", text)))
        text = text.translate(_control_table())
        if self.strip_punctuation:
            text = text.translate(_punctuation_table())
        words = text.split()
        if self._stop_words:
            words = [word for word in words if word.casefold() not in self._stop_words]
        return " ".join(words)

    @cached_property
    def _stop_words(self) -> frozenset[str]:
        return frozenset(word.casefold() for word in self.stop_words)


def text_hash(text: str) -> bytes:
    """Returns 16 bytes that stand for a clean text."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def is_cut(text: str) -> bool:
    """Returns whether cleaning drops the end of a raw text for its length."""
    return len(text) > MAX_CHARS


def _is_plain(text: str) -> bool:
    """Whether there is nothing to clean: no markup, no reference, no sign that has another form."""
    return text.isascii() and text.isprintable() and "<" not in text and "&" not in text


def _without_hidden(text: str) -> str:
    """Returns `text` without comments, scripts and styles; what never closes stays, and is looked for once."""
    parts, start, at = [], 0, 0
    unclosed: set[str] = set()
    while opening := _OPENING.search(text, at):
        at = opening.end()
        kind = (opening[1] or "comment").lower()
        closing = None if kind in unclosed else _CLOSING[kind].search(text, at)
        if closing is None:
            unclosed.add(kind)
            continue
        parts.append(text[start : opening.start()])
        start = at = closing.end()
    return " ".join([*parts, text[start:]])


def _few_marks(run: re.Match[str]) -> str:
    kept, marks = [], 0
    for char in run[0]:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= _MAX_MARKS:
            kept.append(char)
    return "".join(kept)


@cache
def _control_table() -> dict[int, str]:
    return {code: " " for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"}


@cache
def _punctuation_table() -> dict[int, str]:
    return {code: " " for code in range(0x110000) if unicodedata.category(chr(code)).startswith("P")}
