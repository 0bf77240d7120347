"""Past and future: what may be fitted on, and the cases that judge it. Nothing of a case's target is in its past.

Three kinds of holdout, chosen by what the table has:
- "clock": real times → everything before a cut is the past, what known and new users do after it are the targets;
- "last": times that only order each user's own events (positions), or in which hardly anybody comes twice (one basket
  a user) → each user's last item is the target, or, where several came at that time, all of them;
- "users": no times → a seeded share of the users is unseen, and each of them is asked for by text and by history.

The text of a target is never an input. A text that stands on every row of a user says something of the user and not of
one target, if these are rows of two items or more: it is a stated need. Where there are times, even that is known only
from the first of its rows on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.training.interactions import Interactions
from models.types import Rows

Holdout = Literal["clock", "last", "users"]
Task = Literal["history", "text"]
TASKS: tuple[Task, ...] = ("history", "text")
_COME_AGAIN = 0.05  # of the users with several events: with fewer at another time, a clock leaves nobody to ask


@dataclass(frozen=True, slots=True, eq=False)
class UserEvents:
    """One user's events, oldest first (in table order where there are no times).

    Attributes:
        items: Rows, shape `(n,)`.
        texts: What was written with each; None where nothing.
        times: Shape `(n,)`; None without times.
    """

    items: Rows
    texts: tuple[str | None, ...]
    times: NDArray[np.float64] | None

    @property
    def stated_need(self) -> str | None:
        """The text that stands on every row of a user of two items or more."""
        first = self.texts[0] if self.texts else None
        if first is None or any(text != first for text in self.texts):
            return None
        return first if len(np.unique(self.items)) > 1 else None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One question with its right answers.

    Attributes:
        user: Position in `Interactions.user_ids`.
        task: What the user is known by: history (with texts where there are any), or texts alone.
        history: Rows consumed before, oldest first.
        texts: Written before, oldest first.
        targets: The right answers, distinct, none of them in the history.
        is_new_user: The past has no event of this user.
        barred: Rows that can't be answered either, beside the history.
    """

    user: int
    task: Task
    history: Rows
    texts: tuple[str, ...]
    targets: Rows
    is_new_user: bool
    barred: Rows = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What may be fitted on, and what judges it.

    Attributes:
        holdout: How the two were kept apart.
        past: For fitting.
        cases: For judging.
    """

    holdout: Holdout
    past: Interactions
    cases: tuple[Case, ...]


def holdout_of(interactions: Interactions) -> Holdout:
    """Returns the kind of holdout that the table's times allow.

    Times in which most users start at the very same smallest value are positions, not a clock. And a clock says nothing
    of what comes after a history where all of it came at once.
    """
    if interactions.times is None:
        return "users"
    users, times, n_users = interactions.users, interactions.times, len(interactions.user_ids)
    first, last = np.full(n_users, np.inf), np.full(n_users, -np.inf)
    np.minimum.at(first, users, times)
    np.maximum.at(last, users, times)
    are_positions = (first == times.min()).mean() > 0.5
    has_several = np.bincount(users, minlength=n_users) > 1
    return "last" if are_positions or (last > first)[has_several].sum() < _COME_AGAIN * has_several.sum() else "clock"


def split(
    interactions: Interactions,
    *,
    share: float = 0.1,
    seed: int = 0,
    holdout: Holdout | None = None,
    after: float | None = None,
) -> Split:
    """Keeps a part of the interactions back.

    Args:
        interactions: Everything that is known.
        share: Of the events ("clock") or of the users ("users") that is kept back.
        seed: Of what is drawn.
        holdout: The kind; by default what the table allows.
        after: With a clock: what came later is kept back, whatever share it is.

    Raises:
        DataError: Too little is left to judge by.
    """
    holdout = holdout or holdout_of(interactions)
    makers: dict[Holdout, Callable[[], tuple[NDArray[np.bool_], list[Case]]]] = {
        "clock": lambda: _by_clock(interactions, share, after),
        "last": lambda: _last_of_each(interactions),
        "users": lambda: _unseen_users(interactions, share, seed),
    }
    kept, cases = makers[holdout]()
    if not cases or not kept.any():
        raise DataError(
            f"{len(interactions)} interactions of {len(interactions.user_ids)} users leave nothing to judge by"
            f' (holdout "{holdout}"): users with two or more interactions are needed'
        )
    return Split(holdout, select(interactions, kept), tuple(cases))


def select(interactions: Interactions, kept: NDArray[np.bool_]) -> Interactions:
    """Returns the marked interactions; users keep their positions."""
    texts = interactions.texts
    return replace(
        interactions,
        users=interactions.users[kept],
        items=interactions.items[kept],
        times=None if interactions.times is None else interactions.times[kept],
        texts=None if texts is None else tuple(texts[row] for row in np.flatnonzero(kept)),
    )


def draw(cases: Sequence[Case], task: Task, limit: int, seed: int) -> list[Case]:
    """Returns the cases of a task in which anything is known, at most `limit` of them, by seed and in their order."""
    group = [case for case in cases if case.task == task and is_known(case)]
    order = np.random.default_rng(seed).permutation(len(group))[:limit]
    return [group[row] for row in np.sort(order)]


def is_known(case: Case) -> bool:
    """Returns whether anything is known of the user: where not, everybody can but answer with what is popular."""
    return bool(len(case.history) or case.texts)


def events_by_user(interactions: Interactions) -> dict[int, UserEvents]:
    """Returns each user's events in order; equal times are broken by a stable hash, not by the table's order."""
    return {
        int(interactions.users[rows[0]]): UserEvents(
            items=interactions.items[rows],
            texts=tuple(interactions.texts[row] for row in rows) if interactions.texts else (None,) * len(rows),
            times=None if interactions.times is None else interactions.times[rows],
        )
        for rows in _rows_by_user(interactions)
    }


def _rows_by_user(interactions: Interactions) -> list[Rows]:
    if not len(interactions):
        return []
    if interactions.times is None:
        order = np.argsort(interactions.users, kind="stable")
    else:
        ids = (interactions.user_ids[user] for user in interactions.users)
        ties = np.fromiter(map(_tie_break, ids, interactions.items), np.uint64, len(interactions))
        order = np.lexsort((ties, interactions.times, interactions.users))
    starts = np.flatnonzero(np.diff(interactions.users[order])) + 1
    return list(np.split(order, starts))


def _tie_break(user: str, item: int) -> int:
    return int.from_bytes(blake2b(f"{user} {item}".encode(), digest_size=8).digest())


def _by_clock(interactions: Interactions, share: float, after: float | None) -> tuple[NDArray[np.bool_], list[Case]]:
    assert interactions.times is not None
    newest = np.quantile(interactions.times, 1 - share, method="lower")
    cut = newest if after is None else np.nextafter(after, np.inf)
    kept = interactions.times < cut
    cases = []
    for user, events in events_by_user(interactions).items():
        assert events.times is not None
        n = int((events.times < cut).sum())
        case = _case(user, events, before=np.arange(n), targets=events.items[n:], task="history")
        if case is not None:
            cases += _with_twin(case)
    return kept, cases


def _with_twin(case: Case) -> list[Case]:
    """Returns a case and, where the user wrote something, the same question asked by text alone."""
    if not case.texts or not len(case.history):
        return [case]
    return [case, replace(case, task="text", history=np.empty(0, np.int64))]


def _last_of_each(interactions: Interactions) -> tuple[NDArray[np.bool_], list[Case]]:
    kept = np.ones(len(interactions), np.bool_)
    cases = []
    for (user, events), rows in zip(events_by_user(interactions).items(), _rows_by_user(interactions), strict=True):
        # What came at the same time, a basket, stays together: its rest would give away what is asked for. Of a user
        # with one basket alone its rest is all there is to go by.
        n = 0 if events.times is None else int((events.times < events.times[-1]).sum())
        n = n or len(rows) - 1
        case = _case(user, events, before=np.arange(n), targets=events.items[n:], task="history") if n else None
        if case is not None:
            kept[rows[n:]] = False
            cases += _with_twin(case)
    return kept, cases


def _unseen_users(interactions: Interactions, share: float, seed: int) -> tuple[NDArray[np.bool_], list[Case]]:
    rng = np.random.default_rng(seed)
    by_user = events_by_user(interactions)
    able = np.array(sorted(user for user, events in by_user.items() if len(np.unique(events.items)) > 1), np.int64)
    drawn = np.sort(rng.choice(able, size=int(np.ceil(share * len(able))), replace=False)) if len(able) else able
    cases = []
    for user in drawn.tolist():
        events = by_user[user]
        by_item = np.argsort(events.items, kind="stable")  # there is no order but the table's, which isn't to matter
        cases += asked_of(user, events, hidden=int(by_item[rng.integers(len(by_item))]))
    return ~np.isin(interactions.users, drawn), cases


def asked_of(user: int, events: UserEvents, *, hidden: int) -> list[Case]:
    """Returns what a user can be asked for: by the stated need for every item, by all other events for the hidden one.

    Args:
        user: Position in `Interactions.user_ids`.
        events: Two or more.
        hidden: Which of them is asked for.
    """
    cases, need = [], events.stated_need
    if need is not None:
        cases.append(Case(user, "text", np.empty(0, np.int64), (need,), np.unique(events.items), True))
    before = np.delete(np.arange(len(events.items)), hidden)
    case = _case(user, events, before=before, targets=events.items[[hidden]], task="history")
    if case is not None:
        cases.append(replace(case, is_new_user=True))
    return cases


def _case(user: int, events: UserEvents, *, before: NDArray[np.intp], targets: Rows, task: Task) -> Case | None:
    """Returns the case that asks for `targets` with what was before; None where nothing new is asked for."""
    history = events.items[before]
    wanted = np.setdiff1d(targets, history)
    if not len(wanted):
        return None
    texts = tuple(dict.fromkeys(text for row in before if (text := events.texts[row])))
    return Case(user, task, history, texts, wanted, is_new_user=not len(before))
