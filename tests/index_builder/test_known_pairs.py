"""Known pairs: every night samples the same users, and what is gone from the table is counted."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from index_builder import known_pairs
from index_builder.known_pairs import Kept, kept_pairs, sample_pairs
from models.known_pairs import write_known_pairs
from models.training.interactions import Interactions
from models.training.split import select

ITEMS = [f"i{row}" for row in range(12)]


def consumed(n_users: int = 20, per_user: int = 4, *, first: int = 0) -> Interactions:
    rng = np.random.default_rng(first)
    return Interactions(
        users=np.repeat(np.arange(n_users), per_user),
        user_ids=tuple(f"u{first + user}" for user in range(n_users)),
        items=np.concatenate([rng.choice(len(ITEMS), per_user, replace=False) for _ in range(n_users)]),
    )


def kept(folder: Path, before: Interactions, tonight: Interactions, item_ids: list[str] = ITEMS) -> Kept:
    """What became of the pairs of an artifact that was built from `before`."""
    known = sample_pairs(before)
    assert known is not None
    write_known_pairs(folder, known)
    live: Any = SimpleNamespace(folder=folder, item_ids=ITEMS, rows={item_id: row for row, item_id in enumerate(ITEMS)})
    found = kept_pairs(live, tonight, item_ids)
    assert found is not None
    return found


def test_the_same_table_keeps_all(tmp_path: Path) -> None:
    found = kept(tmp_path, consumed(), consumed())
    assert (found.share_gone, found.lost_most, found.rows.all()) == (0.0, (), True)


def test_order_repeats_and_news_change_nothing(tmp_path: Path) -> None:
    known = consumed()
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.permutation(len(known)), [0, 0, 5]])
    news = consumed(3, first=100)
    tonight = Interactions(
        users=np.concatenate([known.users[rows], news.users + len(known.user_ids)]),
        user_ids=known.user_ids + news.user_ids,
        items=np.concatenate([known.items[rows], news.items]),
    )
    found = kept(tmp_path, known, tonight)
    assert found.share_gone == 0
    assert found.rows.tolist() == [True] * len(rows) + [False] * len(news)


def test_rows_of_the_catalogue_may_change_and_gone_items_are_gone_pairs(tmp_path: Path) -> None:
    known = consumed()
    turned = ITEMS[::-1]
    same = replace(known, items=len(ITEMS) - 1 - known.items)
    assert kept(tmp_path, known, same, turned).share_gone == 0
    without_i0 = select(same, known.items != 0)
    assert kept(tmp_path, known, without_i0, turned).share_gone == pytest.approx((known.items == 0).mean())


def test_who_lost_the_most_is_named(tmp_path: Path) -> None:
    known = consumed()
    lost = (known.users == 3) & (np.arange(len(known)) % 4 < 3)
    found = kept(tmp_path, known, select(known, ~lost))
    assert found.lost_most == (("u3", 3, 4),)
    assert found.share_gone == pytest.approx(3 / len(known))


def test_other_users_know_none_of_them(tmp_path: Path) -> None:
    found = kept(tmp_path, consumed(), consumed(first=50))
    assert (found.share_gone, found.lost_most, found.rows.any()) == (1.0, (), False)


def test_every_night_samples_the_same_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those whom newcomers with lower hashes push out."""
    monkeypatch.setattr(known_pairs, "_USERS", 10)
    before, later = sample_pairs(consumed(200)), sample_pairs(consumed(210))
    assert before is not None
    assert later is not None
    assert len(before) == len(later) == 40
    assert len(set(before.users.tolist()) & set(later.users.tolist())) >= 8


def test_no_interactions_are_no_sample(tmp_path: Path) -> None:
    nothing = Interactions(np.empty(0, np.int64), (), np.empty(0, np.int64))
    assert sample_pairs(nothing) is None
    live: Any = SimpleNamespace(folder=tmp_path, item_ids=ITEMS, rows={})
    assert kept_pairs(live, consumed(), ITEMS) is None
