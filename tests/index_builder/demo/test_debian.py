"""The construction on an index small enough to work out by hand. Its texts are made up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder.demo.apt import AptIndex
from index_builder.demo.debian import (
    read_demo,
    read_descriptions,
    read_packages,
    read_stanzas,
    relate,
    related_names,
    unfold,
)
from models.errors import DataError

INDEX = """\
Package: python3-a
Source: a (1.0-2)
Section: python
Description: serves pages
Description-md5: md5-a

Package: python3-b
Source: b
Section: universe/python
Description: reads files
Description-md5: md5-b

Package: ruby-c
Section: contrib/ruby
Description: draws charts
Description-md5: md5-unknown

Package: libd-perl
Source: d
Section: perl
Description: sends mail
 Its index has the
 long text inline.

Package: python3-common
Source: common
Section: python
Description: needed by nearly all

Package: python3-lonely
Section: python
Description: used by one that is no user

Package: libe6
Section: libs
Description: no library section

Package: u1
Section: web
Depends: python3-a (>= 1), python3-b [amd64] | ruby-c, python3-common,
 libe6
Recommends: libd-perl:any
Description: a blog engine
Description-md5: md5-u1

Package: u2
Section: net
Depends: python3-common, libd-perl, not-in-the-index
Suggests: ruby-c, python3-a
Description: a mail server

Package: u3
Source: a
Section: python
Depends: python3-a, python3-b, ruby-c, libd-perl
Description: tools of the same source as python3-a

Package: u4
Section: web
Depends: python3-common, python3-a, python3-b
Description: has two left without python3-common

Package: u5
Section: web
Pre-Depends: python3-a
Depends: python3-common, python3-lonely
Enhances: python3-b, ruby-c, libd-perl
Description: relates to two

Package: u6
Section: web
Depends: libe6
Description: relates to none

Package: u1
Section: web
Depends: ruby-c
Description: an older version

"""

TRANSLATIONS = """\
Package: python3-a
Description-md5: md5-a
Description-en: serves pages
 It serves
 pages.
 .
 And fast.

Package: u1
Description-md5: md5-u1
Description-en: a blog engine
 Write posts.

Package: u1
Description-md5: md5-u1
Description-en: a blog engine
 A second text for the same key.

Package: other
Description-md5: md5-not-wanted
Description-en: something else
 Not kept.
"""


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_users_and_items_by_hand():
    # Five packages relate to anything (u1…u5): python3-common to 4 of them (over 60 %: dropped), python3-a,
    # python3-b and libd-perl to 3 (exactly 60 %: kept). u3 doesn't relate to python3-a of its own source.
    assert relate(read_packages(lines(INDEX)), popular_share=0.6) == {
        "u1": ["libd-perl", "python3-a", "python3-b"],
        "u2": ["libd-perl", "python3-a", "ruby-c"],
        "u3": ["libd-perl", "python3-b", "ruby-c"],
    }


def test_three_counts_after_the_popular_are_dropped():
    users = relate(read_packages(lines(INDEX)), popular_share=1.0)
    assert users["u4"] == ["python3-a", "python3-b", "python3-common"]
    assert "u5" not in users


def test_fewer_related_items_make_more_users():
    users = relate(read_packages(lines(INDEX)), popular_share=0.6, min_related=1)
    assert list(users) == ["u1", "u2", "u3", "u4", "u5"]
    assert users["u5"] == ["python3-lonely"]


@pytest.fixture
def index(tmp_path) -> AptIndex:
    """95 more packages, so that 4 % of those that relate to anything are exactly 4."""
    filler = "".join(f"Package: f{n}\nSection: web\nDepends: python3-common\n\n" for n in range(95))
    (tmp_path / "packages").write_text(INDEX + filler, encoding="utf-8")
    (tmp_path / "translations").write_text(TRANSLATIONS, encoding="utf-8")
    return AptIndex(tmp_path / "packages", tmp_path / "translations", "W: one source is slow")


def test_the_demo_joins_titles_descriptions_and_attributes(index):
    demo = read_demo(index, min_items=4)
    assert [item["item_id"] for item in demo.items] == ["libd-perl", "python3-a", "python3-b", "ruby-c"]
    assert demo.items[1] == {
        "item_id": "python3-a",
        "title": "serves pages",
        "description": "It serves pages.\n\nAnd fast.",
        "section": "python",
        "source": "a",
    }
    assert demo.items[0]["description"] == "Its index has the long text inline."
    assert [item["section"] for item in demo.items] == ["perl", "python", "python", "ruby"]
    assert demo.items[3]["source"] == "ruby-c"
    assert demo.items[3]["description"] == ""


def test_a_user_wrote_its_own_description(index):
    demo = read_demo(index, min_items=4)
    assert demo.texts == {
        "u1": "a blog engine\n\nWrite posts.",
        "u2": "a mail server",
        "u3": "tools of the same source as python3-a",
    }
    assert list(demo.related) == ["u1", "u2", "u3"]


def test_too_few_items_say_what_apt_said(index):
    with pytest.raises(DataError, match=r"has 4 usable library packages, 5 are needed.*W: one source is slow"):
        read_demo(index, min_items=5)


def test_of_two_versions_the_first_counts():
    assert read_packages(lines(INDEX))["u1"].title == "a blog engine"


def test_of_alternatives_the_first_counts():
    value = "python3-b [amd64] | ruby-c, liba+b-2.0-dev:any (>= 1:2~), , ${misc:Depends}"
    assert list(related_names(value)) == ["python3-b", "liba+b-2.0-dev"]


def test_only_wanted_descriptions_are_kept():
    assert read_descriptions(lines(TRANSLATIONS), {"md5-u1", "md5-other"}) == {"md5-u1": "Write posts."}


def test_long_description_becomes_paragraphs_and_lists():
    folded = " Two lines\n that flow.\n .\n .\n Features:\n  * fast\n  * small\n and more."
    assert unfold(folded) == "Two lines that flow.\n\nFeatures:\n* fast\n* small\nand more."
    assert unfold("") == ""


def test_stanzas_end_at_blank_lines_and_at_the_end():
    text = "\nA: 1\nB: x\n y\nC: no\n z\n\n\nA: 2"
    assert list(read_stanzas(lines(text), frozenset("AB"))) == [{"A": "1", "B": "x\n y"}, {"A": "2"}]


names = st.text("abcdefgh-", min_size=1)
values = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)


@settings(max_examples=40)
@given(st.lists(st.dictionaries(names, values, min_size=1)))
def test_what_is_written_as_stanzas_is_read_back(stanzas):
    text = "\n".join("".join(f"{field}: {value}\n" for field, value in stanza.items()) for stanza in stanzas)
    fields = frozenset(field for stanza in stanzas for field in stanza)
    assert list(read_stanzas(text.splitlines(keepends=True), fields)) == stanzas
