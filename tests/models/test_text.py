import string
import unicodedata
from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stop_words import get_stop_words

from models.text import MAX_CHARS, TextRecipe, is_cut
from tests.artifacts import sealed_manifest

ENGLISH = tuple(sorted(get_stop_words("en")))
RECIPES = [
    TextRecipe(strip_punctuation=strip, stop_words=words)
    for strip in (False, True)
    for words in ((), ("the", "and"), ENGLISH)
]
PLAIN = TextRecipe()

# Pieces of markup, entities and scripts; joined at random they make what a second cleaning could still change.
FRAGMENTS = (
    "< > & ; / ! - = # amp; lt; gt; &lt &gt; &#60; &#x3C; &#38; &#x26;amp; &nbsp; &eacute; &notit; &#0; &#xD800; "
    "&#xFDFA; <b> </b> <b <br/> <p class='x'> <script> </script> </SCRIPT > <style> </style> <!-- --> <scrıpt> b> "
    "script ﷺ ＜ ＞ ＆ ﬁ ½ İ ı ſ ﾞ ガ 山 👩‍👩‍👧 🏳️‍🌈 שלום مرحبا the THE and don't . , 、 。 ’ x y"
)
PIECES = st.one_of(
    st.sampled_from(FRAGMENTS.split()),
    st.sampled_from(
        [" ", "\n", "\t", "\u00a0", "\u2028", "\u200d", "\ufeff", "\x00", "\x85", "\ud800", "\u0301", "\u0323"]
    ),
    st.text(max_size=4),
)
MESSY = st.lists(PIECES, max_size=40).map("".join)


@given(text=MESSY, recipe=st.sampled_from(RECIPES))
@settings(max_examples=400)
def test_what_comes_out_is_clean_and_cleaning_it_again_changes_nothing(text: str, recipe: TextRecipe) -> None:
    clean = recipe.clean(text)
    assert recipe.clean(clean) == clean
    assert unicodedata.is_normalized("NFKC", clean)
    assert " ".join(clean.split()) == clean
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in clean)
    assert len(clean) <= MAX_CHARS
    if recipe.strip_punctuation:
        assert not any(unicodedata.category(char).startswith("P") for char in clean)
    assert not {word.casefold() for word in clean.split()} & set(recipe.stop_words)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("", ""),
        (" \t\r\n\u00a0\u2003\u2028 ", ""),
        ("a\x00b\x1fc", "a b c"),
        ("ﬁne ½ Ｆｕｌｌ①", "fine 1⁄2 Full1"),
        ("cafe\u0301", "café"),
        ("<p>One</p><p>two<br/>three</p>", "One two three"),
        ("<a href=\"https://x.org/?a=1&amp;b=2\" title='t'>link</a>", "link"),
        ("a<!-- no <b>one</b> reads this -->b", "a b"),
        ("a<script type=x>if (a<b) run()</script >b<STYLE>p{}</STYLE>c", "a b c"),
        ("a <!-- never closed", "a <!-- never closed"),
        ("a<script>never closed", "a never closed"),
        ("AT&amp;T &eacute;&#233;&#xe9; &lt;3", "AT&T ééé <3"),
        ("&amp;amp;amp;lt;b&amp;gt;bold", "bold"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;x", "x"),
        ("fish & chips", "fish & chips"),
        ("if x<y and a>b", "if x<y and a>b"),
        ("if a<b and c>d then i<p or q>s", "if a<b and c>d then i<p or q>s"),
        ("<b>bold</b> <i >italic</i> <a href=x>link</a> <p/>", "bold italic link"),
        ("List<String> a <- b -> c <3 <-- >_<", "List<String> a <- b -> c <3 <-- >_<"),
        ("<scrıpt>x</scrıpt>", "<scrıpt>x</scrıpt>"),
        ("**bold** [link](x) `code` # title", "**bold** [link](x) `code` # title"),
        ("a\ud800b", "a?b"),
        ("&#xD800;", "\ufffd"),
    ],
)
def test_markup_goes_and_text_stays(raw: str, clean: str) -> None:
    assert PLAIN.clean(raw) == clean


@pytest.mark.parametrize(
    "text",
    [
        "轻便的登山靴，适合周末徒步。",
        "山道を歩くための軽い靴。ガ、ヴ",
        "가벼운 등산화",
        "שָׁלוֹם עולם",
        "مرحبا بالعالم، كتابٌ",
        "हिन्दी में लिखा हुआ",
        "ภาษาไทย",
        "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 ❤️",
        "Straße naïve Ångström İstanbul",
    ],
)
def test_every_script_survives(text: str) -> None:
    expected = unicodedata.normalize("NFKC", text)
    assert PLAIN.clean(text) == expected
    assert TextRecipe(stop_words=ENGLISH).clean(text) == expected
    letters = [char for char in expected if not unicodedata.category(char).startswith("P") and char != " "]
    stripped = TextRecipe(strip_punctuation=True).clean(text)
    assert [char for char in stripped if char != " "] == letters


@given(st.text(st.characters(min_codepoint=0x3041, max_codepoint=0x9FFF, categories=["Lo"]), max_size=50))
def test_ideographs_are_only_normalised(text: str) -> None:
    assert TextRecipe(stop_words=ENGLISH, strip_punctuation=True).clean(text) == unicodedata.normalize("NFKC", text)


def test_punctuation_becomes_a_blank() -> None:
    assert (
        TextRecipe(strip_punctuation=True).clean("well-made, light; 5.5 mm (new!) C++ $5")
        == "well made light 5 5 mm new C++ $5"
    )


def test_stop_words_go_in_any_case_as_whole_words_only() -> None:
    recipe = TextRecipe(stop_words=("the", "and", "straße"))
    assert recipe.clean("The theme AND the sand, STRASSE the, and.") == "theme sand, the, and."
    assert recipe.clean("the and THE") == ""


def test_stop_words_freed_from_punctuation_or_entities_go_too() -> None:
    assert TextRecipe(strip_punctuation=True, stop_words=("the",)).clean("the, &#116;he (the) thesis") == "thesis"


def test_an_item_text_is_its_parts_in_their_order() -> None:
    assert PLAIN.item_text(["b", "", " a <br>", "c"]) == "b a c"
    assert PLAIN.item_text(["", ""]) == ""
    # Cleaned as one: what stands in one field can't hide what stands in the next.
    assert PLAIN.item_text(["x <!-- y", "z"]) == "x <!-- y z"


@pytest.mark.parametrize(
    "make",
    [
        lambda: "ﷺ" * MAX_CHARS,
        lambda: "&#xFDFA;" * (MAX_CHARS // 8),
        lambda: "word " * MAX_CHARS,
        lambda: "x" * (MAX_CHARS - 1) + " y",
        lambda: "山" * (2 * MAX_CHARS),
        lambda: "\ud800" * MAX_CHARS,
        lambda: "e\u0301" * MAX_CHARS,
    ],
)
@pytest.mark.parametrize("recipe", RECIPES[::2], ids=repr)
def test_long_text_is_cut_once_and_for_all(make: Callable[[], str], recipe: TextRecipe) -> None:
    text = make()
    clean = recipe.clean(text)
    assert len(clean) <= MAX_CHARS
    assert recipe.clean(clean) == clean
    assert recipe.clean(text[:MAX_CHARS]) == clean


def test_nothing_beyond_the_limit_is_read() -> None:
    assert PLAIN.clean("a" * MAX_CHARS + "b") == "a" * MAX_CHARS
    assert is_cut("a" * (MAX_CHARS + 1))
    assert not is_cut("a" * MAX_CHARS)


# Each takes minutes where a step is quadratic or a nesting costs a round a level.
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "<b" * 6666 + ">" * 6666,
        "&#3" * 3000 + "&#5" * 3000,
        "<!--" * 4000 + "<b" * 1000 + ">" * 1000,
        "<script>" * 2000 + "<b" * 1000 + ">" * 1000,
        "--><!--" * 2800,
        "<script></script" * 1250,
        "<b ==" * 4000,
        "<" * 20_000,
        "a" + "\u0301\u0323" * 9_999,
        "<b" * 2000 + "\u0301\u0323" * 6000 + ">" * 2000,
        "&#" + "9" * 19_000 + ";",
        "&#x" + "f" * 19_000 + ";",
        "&" + "amp;" * 4_900 + "lt;b&gt;",
    ],
    ids=range(13),
)
def test_text_made_to_be_slow_or_to_crash_ends_clean(text: str) -> None:
    clean = PLAIN.clean(text)
    assert PLAIN.clean(clean) == clean


def test_a_word_with_many_marks_keeps_the_first_and_what_follows() -> None:
    zalgo = "z" + "\u0334" * 40 + "algo"
    assert PLAIN.clean(zalgo) == "z" + "\u0334" * 32 + "algo"
    assert PLAIN.clean("👍" * 50) == "👍" * 50
    assert PLAIN.clean("—" * 50) == "—" * 50


@given(text=st.one_of(MESSY, st.text(string.printable + "\x00\x1c\x1f\x7f")), recipe=st.sampled_from(RECIPES))
@settings(max_examples=400)
def test_plain_text_is_what_the_long_way_makes_of_it(text: str, recipe: TextRecipe) -> None:
    with patch("models.text._is_plain", return_value=False):
        expected = recipe.clean(text)
    assert recipe.clean(text) == expected


@given(text=MESSY, recipe=st.sampled_from(RECIPES))
def test_a_recipe_read_back_from_a_manifest_cleans_alike(text: str, recipe: TextRecipe) -> None:
    recipe.clean(text)  # a cache that cleaning fills is no part of the value
    back = TextRecipe.model_validate_json(recipe.model_dump_json())
    assert back == recipe
    assert back.clean(text) == recipe.clean(text)


def test_the_manifest_keeps_switches_and_stop_words() -> None:
    recipe = TextRecipe(strip_punctuation=True, stop_words=ENGLISH)
    kept = sealed_manifest(text_recipe=recipe).model_dump(mode="json")["text_recipe"]
    assert kept == {"version": 1, "strip_punctuation": True, "stop_words": list(ENGLISH)}


def test_a_recipe_is_a_closed_value() -> None:
    with pytest.raises(ValidationError):
        PLAIN.strip_punctuation = True  # type: ignore[misc]
    with pytest.raises(ValidationError):
        TextRecipe.model_validate({"lowercase": True})
    with pytest.raises(ValidationError):
        TextRecipe.model_validate({"version": 2})
