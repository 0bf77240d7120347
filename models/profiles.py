"""What the service knows of a user from events: recent history and texts, by the weight of what the user did."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.events import Signals

DEFAULT_WEIGHTS: Mapping[str, float] = {
    "view": 0.5,
    "click": 1.0,
    "like": 2.0,
    "review": 2.0,
    "purchase": 3.0,
    "dislike": -1.0,
}
"""Weights of event types. Above 0 the user wants such items, below 0 the opposite; 0 says nothing either way."""


@dataclass(frozen=True, slots=True)
class ProfileItem:
    """One item of the history.

    Attributes:
        id: The item.
        weight: The largest of what the user did with it.
        time: When the user last did, unix seconds.
    """

    id: str
    weight: float
    time: float


@dataclass(frozen=True, slots=True)
class ProfileText:
    """One text that the user wrote.

    Attributes:
        text: As it was sent.
        time: When, unix seconds.
    """

    text: str
    time: float


@dataclass(frozen=True, slots=True)
class Profile:
    """A user's recent past.

    Attributes:
        history: What the user consumed and doesn't dislike, oldest first.
        texts: What the user wrote in favour, oldest first.
        seen: Every item that the user did something known with, the disliked ones too.
    """

    history: tuple[ProfileItem, ...] = ()
    texts: tuple[ProfileText, ...] = ()
    seen: frozenset[str] = frozenset()


NOTHING_KNOWN = Profile()
"""The profile of a user of whom nothing is known."""


def profile_of(signals: Signals, weights: Mapping[str, float]) -> Profile:
    """Reads a user's signals by the weights of their types; types without a weight say nothing.

    A type below 0 takes back what the user did with that item before. What the user does with it afterwards
    counts again.

    Args:
        signals: As a store gives them, oldest first.
        weights: By event type.
    """
    wanted: dict[str, ProfileItem] = {}
    seen = set()
    for kind, item_id, time in signals.items:
        if kind not in weights:
            continue
        seen.add(item_id)
        weight, before = weights[kind], wanted.get(item_id)
        if weight < 0:
            wanted.pop(item_id, None)
        elif weight > 0:
            wanted[item_id] = ProfileItem(item_id, max(weight, before.weight if before else 0.0), time)
    texts: dict[str, ProfileText] = {}
    for kind, text, time in signals.texts:
        if weights.get(kind, 0.0) > 0:
            texts.pop(text, None)
            texts[text] = ProfileText(text, time)
    history = sorted(wanted.values(), key=lambda item: item.time)
    return Profile(tuple(history), tuple(texts.values()), frozenset(seen))
