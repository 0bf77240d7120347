"""The text recipe: how raw text becomes what the encoder reads, the same for items and for users.

Pure: no model, no I/O. The recipe is a value in the manifest, so an index and the service that queries it
can't clean text differently. Markdown and other plain-text markup is left alone: encoders know it.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

# Text beyond this never reaches an encoder (a token is rarely longer than a word), so it isn't cleaned either.
MAX_CHARS = 20_000

_TAGS = (
    "a|abbr|acronym|address|article|aside|audio|b|bdi|bdo|big|blockquote|body|br|button|canvas|caption|center|"
    "cite|code|col|colgroup|data|datalist|dd|del|details|dfn|dialog|div|dl|dt|em|embed|fieldset|figcaption|"
    "figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|"
    "map|mark|meta|meter|nav|noscript|object|ol|optgroup|option|output|p|picture|pre|progress|q|rp|rt|ruby|s|"
    "samp|section|select|small|source|span|strike|strong|style|script|sub|summary|sup|svg|table|tbody|td|"
    "template|textarea|tfoot|th|thead|time|title|tr|track|tt|u|ul|var|video|wbr"
)
# Only known tags: in "if x<y and a>b" an HTML parser would swallow everything between the signs.
_TAG = re.compile(rf"</?(?:{_TAGS})(?:[\s/][^<>]*)?>", re.IGNORECASE)
_HIDDEN = re.compile(r"<!--.*?-->|<(script|style)\b[^<>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
# "&amp;amp;lt;" is unescaped in one step, so that the fixed point below comes after a few rounds.
_NESTED_AMPERSAND = re.compile(r"&(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)


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
        text = text[:MAX_CHARS].encode("utf-8", "replace").decode("utf-8")  # lone surrogates can't be tokenised
        previous = None
        while text != previous:
            previous = text
            text = self._clean_once(text)
        return text

    def item_text(self, parts: Sequence[str]) -> str:
        """Returns the clean text of an item, its text fields joined in their order."""
        return self.clean(" ".join(part for part in parts if part))

    def _clean_once(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text)
        text = _TAG.sub(" ", _HIDDEN.sub(" ", text))
        text = html.unescape(_NESTED_AMPERSAND.sub("&", text))
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


def is_cut(text: str) -> bool:
    """Returns whether cleaning drops the end of a raw text for its length."""
    return len(text) > MAX_CHARS


@cache
def _control_table() -> dict[int, str]:
    return {code: " " for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"}


@cache
def _punctuation_table() -> dict[int, str]:
    return {code: " " for code in range(0x110000) if unicodedata.category(chr(code)).startswith("P")}
