"""What the tower is fitted to: each user's texts and items as tokens, and questions about what came later.

Ordered events: after each event the question is the next item. Unordered ones: after a random part of the user's
items the question is all the others, and a stated need asks for all of them. So that one model serves whoever is known
by one or the other alone, items or texts are left out for a share of the users, drawn anew each epoch. The first words
of an item ask for the item itself: a short text of a person finds what it names, also among items without users.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.training.split import UserEvents
from models.types import Rows

# An epoch reads at most so many users, drawn anew, and of a large catalogue so many that their questions have about so
# many scores: what bounds a build's time.
MAX_USERS = 40_000
MAX_SCORES = 3_000_000_000
_LEAST_USERS = 5_000
_QUESTIONS_UNORDERED = 3  # by the need, by a part of the items, by all but one
# First words an epoch, where there are so many items; else half as many as users.
_LEAST_OWN = 200
_TEXTS_ALONE = 0.4
_ITEMS_ALONE = 0.2
_LENGTH_GROUP = 8  # batches whose users are sorted by length together, so that little is padded


@dataclass(frozen=True, slots=True)
class Batch:
    """Users with what is known and asked of each; L tokens and Q questions at most.

    Attributes:
        tokens: Row of each token's output vector, items first, then texts, shape `(users, L)`.
        is_text: Which tokens are texts, shape `(users, L)`.
        seen: Which tokens each question knows, shape `(users, Q, L)`.
        steps: How far back each is, shape `(users, Q, L)`.
        question: Flat position in (users · Q) of each target, shape `(n_targets,)`.
        target: Row of the item, shape `(n_targets,)`.
        weight: Shape `(n_targets,)`; those of one question sum to the question's.
    """

    tokens: Tensor
    is_text: Tensor
    seen: Tensor
    steps: Tensor
    question: Tensor
    target: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Returns the batch on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass(slots=True)
class _Example:
    """One user: tokens with the event they belong to, and questions asked after an event.

    Attributes:
        items: Rows.
        texts: Rows.
        item_events: Event of each item.
        text_events: Event of each text; a stated need has none and is known from the start, at no distance.
        asked_after: Event of each question; -1 is before the first.
        targets: Rows of each question's right answers.
        weights: Of each question.
    """

    items: Sequence[int]
    texts: Sequence[int]
    item_events: Sequence[int]
    text_events: Sequence[int]
    asked_after: list[int]
    targets: list[Sequence[int]]
    weights: list[float]

    def __len__(self) -> int:
        return len(self.items) + len(self.texts)


_ALWAYS = -1


@dataclass(frozen=True, slots=True)
class Examples:
    """Where examples come from.

    Attributes:
        users: The users' events, of the past.
        text_rows: Row of each text.
        own_words: Row of the text that is the start of each item's own, shape `(n_items,)`; empty: not learnt from.
        n_items: Items of the catalogue.
        ordered: The events are in order.
        longest: Newest events that are read.
    """

    users: Sequence[UserEvents]
    text_rows: Mapping[str, int]
    own_words: Rows
    n_items: int
    ordered: bool
    longest: int

    @property
    def n_drawn(self) -> int:
        """Examples of an epoch, at most."""
        return self._n_users + self._n_own

    @property
    def n_scores(self) -> int:
        """Scores of one pass over all users, about: of each question one for each item."""
        most = self.longest if self.ordered else _QUESTIONS_UNORDERED
        return sum(min(len(events.items), most) for events in self.users) * self.n_items

    @property
    def _n_users(self) -> int:
        """Users of an epoch."""
        affordable = max(_LEAST_USERS, len(self.users) * MAX_SCORES // max(self.n_scores, 1))
        return min(len(self.users), MAX_USERS, affordable)

    @property
    def _n_own(self) -> int:
        return min(len(self.own_words), max(self._n_users // 2, _LEAST_OWN))

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Draws an epoch's examples.

        Args:
            size: Users a batch.
            rng: Of what is drawn.
        """
        drawn = [example for user in self._draw_users(rng) if (example := self._example(user, rng)) is not None]
        drawn += [self._own(row) for row in rng.permutation(len(self.own_words))[: self._n_own].tolist()]
        order = rng.permutation(len(drawn))
        groups = [
            sorted(order[start : start + size * _LENGTH_GROUP].tolist(), key=lambda row: len(drawn[row]))
            for start in range(0, len(order), size * _LENGTH_GROUP)
        ]
        batches = [group[start : start + size] for group in groups for start in range(0, len(group), size)]
        for place in rng.permutation(len(batches)).tolist():
            yield _collate([drawn[row] for row in batches[place]], self.n_items)

    def _draw_users(self, rng: np.random.Generator) -> Iterator[UserEvents]:
        if len(self.users) == (n_users := self._n_users):
            return iter(self.users)
        return (self.users[row] for row in rng.permutation(len(self.users))[:n_users].tolist())

    def _own(self, row: int) -> _Example:
        return _Example([], [int(self.own_words[row])], [], [_ALWAYS], [_ALWAYS], [[row]], [1.0])

    def _example(self, events: UserEvents, rng: np.random.Generator) -> _Example | None:
        need = events.stated_need
        known_need = self.text_rows.get(need) if need is not None else None
        ask = self._ordered if self.ordered else self._unordered
        example = ask(events, known_need, rng)
        return example if example.targets else None

    def _ordered(self, events: UserEvents, need: int | None, rng: np.random.Generator) -> _Example:
        """Returns a user who is asked for the next item after each event."""
        items = events.items[-self.longest :].tolist()
        texts = events.texts[-self.longest :]
        if need is not None:
            written, when = [need], [_ALWAYS]
        else:
            when = [event for event, text in enumerate(texts) if text and text in self.text_rows]
            written = [self.text_rows[texts[event] or ""] for event in when]
        texts_alone = bool(written) and rng.random() < _TEXTS_ALONE
        if not texts_alone and rng.random() < _ITEMS_ALONE:
            written, when = [], []
        first = min(when, default=0) if texts_alone else 0
        example = _Example([] if texts_alone else items, written, range(len(items)), when, [], [], [])
        seen: set[int] = set()
        for event, item in enumerate(items[:-1]):
            seen.add(item)
            if items[event + 1] not in seen and event >= first:
                _ask(example, event, [items[event + 1]])
        return example

    def _unordered(self, events: UserEvents, need: int | None, rng: np.random.Generator) -> _Example:
        """Returns a user who is asked for the rest of the items, by need, by a part of them, and by all but one."""
        items: list[int] = rng.permutation(sorted(set(events.items.tolist())))[: self.longest].tolist()
        stated = need is not None and rng.random() >= _ITEMS_ALONE
        example = _Example(items, [need] if stated and need is not None else [], range(len(items)), [], [], [], [])
        if stated:
            example.text_events = [_ALWAYS]
            _ask(example, _ALWAYS, items)
        if len(items) > 1:
            for last in (int(rng.integers(len(items) - 1)), len(items) - 2):
                _ask(example, last, items[last + 1 :], 0.5)
        return example


def _ask(example: _Example, after: int, targets: Sequence[int], weight: float = 1.0) -> None:
    example.asked_after.append(after)
    example.targets.append(targets)
    example.weights.append(weight)


def _collate(examples: Sequence[_Example], n_items: int) -> Batch:
    longest = max(map(len, examples))
    most = max(len(example.asked_after) for example in examples)
    shape = (len(examples), longest)
    tokens, events = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    is_text, real, always = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    after = np.full((len(examples), most), -np.inf, np.float32)
    question: list[int] = []
    target: list[int] = []
    weight: list[float] = []
    for place, example in enumerate(examples):
        n, n_own = len(example), len(example.items)
        tokens[place, :n] = [*example.items, *(n_items + row for row in example.texts)]
        events[place, :n] = [*example.item_events[:n_own], *example.text_events]
        is_text[place, n_own:n], real[place, :n] = True, True
        always[place, n_own:n] = [event == _ALWAYS for event in example.text_events]
        after[place, : len(example.asked_after)] = example.asked_after
        for asked, (wanted, share) in enumerate(zip(example.targets, example.weights, strict=True)):
            question += [place * most + asked] * len(wanted)
            target += wanted
            weight += [share / len(wanted)] * len(wanted)
    asks = np.isfinite(after)[:, :, None]
    seen = real[:, None] & asks & (always[:, None] | (events[:, None] <= after[:, :, None]))
    steps = np.where(seen & ~always[:, None], np.where(asks, after[:, :, None], 0) - events[:, None], 0)
    return Batch(
        tokens=torch.from_numpy(tokens),
        is_text=torch.from_numpy(is_text),
        seen=torch.from_numpy(seen),
        steps=torch.from_numpy(steps.astype(np.float32)),
        question=torch.tensor(question),
        target=torch.tensor(target),
        weight=torch.tensor(weight),
    )
