import numpy as np

from models.training.finetune_pairs import PairSet, make_pairs
from models.training.interactions import Interactions

ITEMS = ["apple", "bread", "cheese", "dates", "apple"]


def rows(pairs: PairSet, kind: str) -> list[tuple[int, str, str]]:
    found = pairs.by_kind[kind]
    return [
        (user, anchor, ITEMS[item])
        for user, anchor, item in zip(found.users.tolist(), found.anchors, found.items.tolist(), strict=True)
    ]


def one_user(items: list[int], *, texts: list[str | None] | None = None, ordered: bool = True) -> Interactions:
    n = len(items)
    times = np.arange(n, dtype=np.float64) if ordered else None
    return Interactions(
        np.zeros(n, np.int64), ("u",), np.array(items), times=times, texts=None if texts is None else tuple(texts)
    )


def test_a_text_is_paired_with_what_came_after_it_never_with_its_own_item() -> None:
    texts = ["Nice apple", None, "Good cheese", "Sweet"]
    clean = {"Nice apple": "nice apple", "Good cheese": "good cheese", "Sweet": "sweet"}
    pairs = make_pairs(one_user([0, 1, 2, 3], texts=texts), ITEMS, clean)
    assert rows(pairs, "text") == [
        (0, "nice apple", "bread"),
        (0, "nice apple", "cheese"),
        (0, "good cheese", "dates"),
    ]


def test_without_an_order_the_text_is_another_rows() -> None:
    texts = ["a", "b", "c"]
    pairs = make_pairs(one_user([0, 1, 2], texts=texts, ordered=False), ITEMS, {text: text for text in texts})
    own = {"apple": "a", "bread": "b", "cheese": "c"}
    found = rows(pairs, "text")
    assert [item for _, _, item in found] == ["apple", "bread", "cheese"]
    assert all(anchor != own[item] for _, anchor, item in found)


def test_a_stated_need_is_paired_with_every_item() -> None:
    pairs = make_pairs(one_user([0, 1], texts=["Food!", "Food!"], ordered=False), ITEMS, {"Food!": "food"})
    assert rows(pairs, "text") == [(0, "food", "apple"), (0, "food", "bread")]


def test_an_item_is_paired_with_the_one_before_it() -> None:
    pairs = make_pairs(one_user([2, 0, 1]), ITEMS, {})
    assert list(pairs.by_kind) == ["history"]
    assert rows(pairs, "history") == [(0, "cheese", "apple"), (0, "apple", "bread")]


def test_a_text_is_no_pair_with_itself_and_one_that_says_nothing_is_none() -> None:
    pairs = make_pairs(one_user([0, 4, 1], texts=["?", "?", "?"]), ITEMS, {})
    assert rows(pairs, "history") == [(0, "apple", "bread")]
    assert "text" not in pairs.by_kind


def test_everything_that_a_user_consumed_is_kept_from_being_a_negative() -> None:
    assert make_pairs(one_user([0, 1, 3]), ITEMS, {}).consumed == {0: frozenset({"apple", "bread", "dates"})}


def test_the_digest_is_of_the_pairs_and_the_catalogue() -> None:
    base = make_pairs(one_user([0, 1, 3]), ITEMS, {})
    assert base.digest() == make_pairs(one_user([0, 1, 3]), list(ITEMS), {}).digest()
    others = [
        make_pairs(one_user([0, 1, 2]), ITEMS, {}),
        make_pairs(one_user([0, 1, 3]), [*ITEMS, "eggs"], {}),
        make_pairs(one_user([0, 1, 3], texts=["x", "x", "x"]), ITEMS, {"x": "x"}),
    ]
    assert len({base.digest(), *(other.digest() for other in others)}) == 4
