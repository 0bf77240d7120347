"""A recommendation problem made of Debian's or Ubuntu's package index.

"Describe your project, get libraries for it": items are library packages, users are the packages that use
them, and what a user wrote is its own description. Knows deb822 and the rules of the construction, not how
the index is fetched or where the result is written.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Final

from index_builder.demo.apt import AptIndex, download_index
from models.errors import DataError

SECTIONS: Final = frozenset(
    {"python", "perl", "ruby", "javascript", "golang", "gnu-r", "haskell", "rust", "php", "java", "lisp", "ocaml"}
)
MIN_ITEMS: Final = 1000
"""A smaller catalogue means that apt reached none of the distribution's own sources."""

_RELATIONS: Final = ("Depends", "Recommends", "Suggests")
_FIELDS: Final = frozenset({"Package", "Source", "Section", "Description", "Description-md5", *_RELATIONS})
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the index.

    Attributes:
        name: Its name.
        source: The source package it is built from.
        section: Its section without the component: `python`, not `universe/python`.
        title: The first line of its description.
        description: The rest where the index itself has it, unfolded; else empty.
        description_md5: Key of the long description in the translations; empty where there is none.
        relations: Names that it depends on, recommends or suggests.
    """

    name: str
    source: str
    section: str
    title: str
    description: str
    description_md5: str
    relations: frozenset[str]


@dataclass(frozen=True, slots=True)
class PackageDemo:
    """The construction's outcome, everything sorted by name.

    Attributes:
        items: Rows of the catalogue: item_id, title, description, section, source.
        related: Of each user the items it relates to.
        texts: Of each user what it "wrote": its short and its long description.
    """

    items: list[dict[str, str]]
    related: dict[str, list[str]]
    texts: dict[str, str]


def debian_demo() -> PackageDemo:
    """Fetches the index through apt and makes the demo of it.

    Raises:
        DataError: apt is missing, fails, or its index holds too few library packages.
    """
    # apt's download methods may still be writing there when a time-out ended apt-get.
    with tempfile.TemporaryDirectory(prefix="recall-demo-", ignore_cleanup_errors=True) as folder:
        return read_demo(download_index(Path(folder)))


def read_demo(index: AptIndex, *, min_items: int = MIN_ITEMS) -> PackageDemo:
    """Makes the demo of an index that was fetched.

    Args:
        index: The two files that apt wrote.
        min_items: Fewer items than this are an error.

    Raises:
        DataError: There are fewer than `min_items` items.
    """
    with index.packages.open(encoding="utf-8", errors="replace") as lines:
        packages = read_packages(lines)
    related = relate(packages)
    item_ids = sorted({item for items in related.values() for item in items})
    if len(item_ids) < min_items:
        reason = f"; apt said: {index.last_error}" if index.last_error else ""
        raise DataError(
            f"apt's index has {len(item_ids)} usable library packages, {min_items} are needed; "
            f"are Debian's or Ubuntu's own sources enabled?{reason}"
        )
    wanted = {packages[name].description_md5 for name in (*item_ids, *related)}
    with index.translations.open(encoding="utf-8", errors="replace") as lines:
        descriptions = read_descriptions(lines, wanted)

    def description(package: Package) -> str:
        return descriptions.get(package.description_md5) or package.description

    return PackageDemo(
        items=[
            {
                "item_id": name,
                "title": packages[name].title,
                "description": description(packages[name]),
                "section": packages[name].section,
                "source": packages[name].source,
            }
            for name in item_ids
        ],
        related=related,
        texts={user: f"{packages[user].title}\n\n{description(packages[user])}".strip() for user in related},
    )


def relate(
    packages: Mapping[str, Package], *, min_related: int = 3, popular_share: float = 0.04
) -> dict[str, list[str]]:
    """Finds the users and the items that each of them relates to.

    A package relates to a library package (one of the `SECTIONS`) when it depends on, recommends or suggests
    it and comes from another source package. Then, in this order: items that more than `popular_share` of
    all related packages relate to are dropped (they say nothing about a project), and the packages
    with at least `min_related` items left are the users. On Debian 12 that gives 6,916 users and 10,216 items.

    Args:
        packages: The index by package name.
        min_related: Items that a package must relate to, to be a user.
        popular_share: Share of the packages with any relation, above which an item is dropped.

    Returns:
        Sorted item ids by user, users sorted; an item that no user relates to occurs nowhere.
    """
    libraries = {name: package.source for name, package in packages.items() if package.section in SECTIONS}
    related: dict[str, set[str]] = {}
    for package in packages.values():
        items = {name for name in package.relations if libraries.get(name, package.source) != package.source}
        if items:
            related[package.name] = items
    times = Counter(item for items in related.values() for item in items)
    popular = {item for item, n in times.items() if n > popular_share * len(related)}
    users = {user: sorted(items - popular) for user, items in sorted(related.items())}
    return {user: items for user, items in users.items() if len(items) >= min_related}


def read_packages(lines: Iterable[str]) -> dict[str, Package]:
    """Reads the package index; of a package that occurs more than once the first counts.

    Args:
        lines: Lines of `apt-cache dumpavail`, which lists the candidate version of each architecture.
    """
    packages: dict[str, Package] = {}
    for stanza in read_stanzas(lines, _FIELDS):
        name = intern(stanza.get("Package", ""))
        if name and name not in packages:
            title, _, rest = stanza.get("Description", "").partition("\n")
            packages[name] = Package(
                name=name,
                source=intern(stanza.get("Source", name).split()[0]),  # may end in " (version)"
                section=intern(stanza.get("Section", "").rpartition("/")[2]),
                title=title,
                description=unfold(rest),
                description_md5=stanza.get("Description-md5", ""),
                relations=frozenset(target for field in _RELATIONS for target in related_names(stanza.get(field, ""))),
            )
    return packages


def read_descriptions(lines: Iterable[str], wanted: set[str]) -> dict[str, str]:
    """Reads the long descriptions with the wanted Description-md5 keys; the first of a key counts."""
    descriptions: dict[str, str] = {}
    for stanza in read_stanzas(lines, frozenset({"Description-md5", "Description-en"})):
        key = stanza.get("Description-md5", "")
        if key in wanted and key not in descriptions:
            descriptions[key] = unfold(stanza.get("Description-en", "").partition("\n")[2])
    return descriptions


def related_names(value: str) -> Iterator[str]:
    """Yields the package names of a relation field without versions and architectures.

    Of alternatives `a | b` only the first counts: it is the one that apt would install.
    """
    for relation in value.split(","):
        match = _NAME.match(relation.lstrip())
        if match:
            yield intern(match[0])


def read_stanzas(lines: Iterable[str], fields: frozenset[str]) -> Iterator[dict[str, str]]:
    """Yields deb822 stanzas with the fields asked for.

    A folded value keeps its line breaks, and its further lines their first blank.
    """
    stanza: dict[str, str] = {}
    field = ""
    for line in lines:
        line = line.rstrip("\n")
        if line.startswith((" ", "\t")):
            if field in fields:
                stanza[field] += f"\n{line}"
        elif line.strip():
            field, _, value = line.partition(":")
            if field in fields:
                stanza[field] = value.strip()
        elif stanza:
            yield stanza
            stanza = {}
    if stanza:
        yield stanza


def unfold(description: str) -> str:
    """Turns the folded lines of a long description into plain paragraphs.

    A line " ." separates paragraphs; a line with two blanks or more in front stands by itself (a list, as a
    rule); all others flow.
    """
    text, flows = "", False
    for line in description.split("\n"):
        body = line[1:].rstrip()
        if body == ".":
            text, flows = f"{text.rstrip()}\n\n", False
        elif body.startswith((" ", "\t")):
            text, flows = f"{text.rstrip(' ')}\n{body.strip()}", False
        else:
            joint = " " if flows else "" if text.endswith("\n") else "\n"
            text, flows = f"{text}{joint}{body}", True
    return re.sub(r"\n{3,}", "\n\n", text).strip()
