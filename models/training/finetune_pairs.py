"""What an encoder is fine-tuned on: (user text, item) and (item of the history, item) pairs. Pure numpy, no I/O.

The text that stands with the item asked for is never a pair's anchor, unless it stands on every row of the user.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.training.interactions import Interactions
from models.training.split import UserEvents, events_by_user
from models.types import Rows

PairKind = Literal["text", "history"]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of one kind; one entry a pair.

    Attributes:
        anchors: Clean texts: what the user wrote, or the text of an item of the history.
        items: Rows of the items asked for, shape `(n,)`.
        users: Whose pair it is, shape `(n,)`.
    """

    anchors: tuple[str, ...]
    items: Rows
    users: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.anchors)


@dataclass(frozen=True, slots=True, eq=False)
class PairSet:
    """All pairs, and what must not be taken for a negative.

    Attributes:
        by_kind: Only kinds that have pairs.
        consumed: Texts of everything that each user consumed: none of them is a negative of that user's pairs.
        item_texts: Clean, in row order.
    """

    by_kind: Mapping[PairKind, Pairs]
    consumed: Mapping[int, frozenset[str]]
    item_texts: Sequence[str]

    def __len__(self) -> int:
        return sum(len(pairs) for pairs in self.by_kind.values())

    def digest(self) -> str:
        """Returns a hash of every pair, in order."""
        digest = hashlib.sha256()
        for kind, pairs in sorted(self.by_kind.items()):
            digest.update(kind.encode())
            for anchor, item, user in zip(pairs.anchors, pairs.items.tolist(), pairs.users.tolist(), strict=True):
                digest.update(f"{user}\0{anchor}\0{self.item_texts[item]}\0".encode())
        for user, texts in sorted(self.consumed.items()):
            digest.update(f"{user}\0{sorted(texts)}".encode())
        for text in self.item_texts:  # hard negatives come from the whole catalogue
            digest.update(text.encode() + b"\0")
        return digest.hexdigest()


def make_pairs(
    interactions: Interactions, item_texts: Sequence[str], clean: Mapping[str, str], *, seed: int = 0
) -> PairSet:
    """Returns the pairs that some interactions give; every one of them is used, so the caller holds out first.

    Args:
        interactions: The past.
        item_texts: Clean, in row order.
        clean: The clean form of each user text; texts that say nothing are absent.
        seed: Of what is drawn where there is no order.
    """
    rng = np.random.default_rng(seed)
    found: dict[PairKind, list[tuple[str, int, int]]] = {"text": [], "history": []}
    consumed = {}
    for user, events in events_by_user(interactions).items():
        consumed[user] = frozenset(item_texts[item] for item in events.items.tolist())
        for kind, anchor, item in _pairs_of(events, item_texts, clean, rng):
            if anchor and item_texts[item] and anchor != item_texts[item]:
                found[kind].append((anchor, item, user))
    by_kind = {
        kind: Pairs(
            tuple(anchor for anchor, _, _ in rows),
            np.array([item for _, item, _ in rows], np.int64),
            np.array([user for _, _, user in rows], np.int64),
        )
        for kind, rows in found.items()
        if rows
    }
    return PairSet(by_kind, consumed, item_texts)


def _pairs_of(
    events: UserEvents, item_texts: Sequence[str], clean: Mapping[str, str], rng: np.random.Generator
) -> Iterator[tuple[PairKind, str, int]]:
    need, items = events.stated_need, events.items.tolist()
    for row, item in enumerate(items):
        before = np.arange(row) if events.times is not None else np.delete(np.arange(len(items)), row)
        if events.times is None:
            before = rng.permutation(before)
        if need is not None:
            yield "text", clean.get(need, ""), item
        else:
            written = (clean[text] for n in reversed(before) if (text := events.texts[n]) and text in clean)
            yield "text", next(written, ""), item
        if len(before):
            yield "history", item_texts[items[before[-1]]], item
