"""What the tower is asked in training: only what came later, and never the text of the answer."""

import numpy as np
import pytest

from models.training import tower_examples as module
from models.training.split import UserEvents
from models.training.tower_examples import Batch, Examples

N_ITEMS = 50
TEXTS = {f"t{row}": row for row in range(30)}


def examples(users: list[UserEvents], *, ordered: bool, own: int = 0) -> Examples:
    return Examples(tuple(users), TEXTS, np.arange(own) + 30, N_ITEMS, ordered, 10)


def user(items: list[int], texts: list[str | None]) -> UserEvents:
    return UserEvents(np.array(items), tuple(texts), None)


def questions(batch: Batch) -> list[tuple[set[int], set[int], set[int]]]:
    """Returns items, texts and targets of every question that is asked."""
    found = []
    n_questions = batch.seen.shape[1]
    for flat in sorted(set(batch.question.tolist())):
        place, number = divmod(flat, n_questions)
        tokens = batch.tokens[place][batch.seen[place, number]].tolist()
        targets = set(batch.target[batch.question == flat].tolist())
        items, texts = {t for t in tokens if t < N_ITEMS}, {t - N_ITEMS for t in tokens if t >= N_ITEMS}
        found.append((items, texts, targets))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_ordered_events_ask_for_the_next_item_with_what_came_before(seed: int) -> None:
    items, texts = [5, 6, 7, 8], ["t0", "t1", None, "t3"]
    (batch,) = examples([user(items, texts)], ordered=True).batches(4, np.random.default_rng(seed))
    for known, written, targets in questions(batch):
        (target,) = targets
        before = items.index(target)
        assert known <= set(items[:before])
        assert written <= {row for row in (0, 1, 3) if row < before}
        assert known or written


def test_what_was_consumed_before_is_not_asked_for() -> None:
    (batch,) = examples([user([1, 2, 1, 3], [None] * 4)], ordered=True).batches(1, np.random.default_rng(0))
    assert [targets for _, _, targets in questions(batch)] == [{2}, {3}]


@pytest.mark.parametrize(("least", "n_drawn"), [(1, 4), (5, 5), (9, 8)])
def test_an_epoch_of_a_large_catalogue_asks_fewer_users_anew_each_time(
    least: int, n_drawn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SCORES", 8 * 3 * N_ITEMS // 2)
    monkeypatch.setattr(module, "_LEAST_USERS", least)
    asked, rng = (
        examples([user([n, n + 10, n + 20], [None] * 3) for n in range(8)], ordered=True),
        np.random.default_rng(0),
    )
    assert asked.n_drawn == n_drawn
    epochs = [{batch.tokens.min().item() for batch in asked.batches(1, rng)} for _ in range(9)]
    assert {len(epoch) for epoch in epochs} == {n_drawn}
    assert set.union(*epochs) == set(range(8))


def test_unordered_users_are_asked_three_times_at_most() -> None:
    many = [user(list(range(9)), [None] * 9)]
    assert examples(many, ordered=True).n_scores == 9 * N_ITEMS
    assert examples(many, ordered=False).n_scores == 3 * N_ITEMS


@pytest.mark.parametrize("seed", range(10))
def test_unordered_events_ask_for_all_that_is_not_known(seed: int) -> None:
    """By the need for all of them, by a part for the rest."""
    (batch,) = examples([user([5, 6, 7], ["t2"] * 3)], ordered=False).batches(4, np.random.default_rng(seed))
    for known, written, targets in questions(batch):
        assert targets == {5, 6, 7} - known
        assert written <= {2}
        assert known or written


def test_texts_alone_and_items_alone_are_drawn() -> None:
    """Over some epochs a user with both is known by each alone and by both."""
    source = examples([user([1, 2, 3], ["t1", "t2", "t3"])], ordered=True)
    kinds = set()
    for seed in range(60):
        for batch in source.batches(1, np.random.default_rng(seed)):
            kinds |= {(bool(known), bool(written)) for known, written, _ in questions(batch)}
    assert kinds == {(True, True), (True, False), (False, True)}


def test_an_items_first_words_ask_for_it() -> None:
    source = examples([user([1, 2], [None, None])] * 8, ordered=True, own=4)
    asked = [question for batch in source.batches(16, np.random.default_rng(0)) for question in questions(batch)]
    own = [(written, targets) for known, written, targets in asked if not known]
    assert sorted(own, key=str) == [({30 + row}, {row}) for row in range(4)]


def test_the_weights_of_a_question_sum_to_its_own() -> None:
    (batch,) = examples([user([5, 6, 7, 8], ["t2"] * 4)], ordered=False).batches(4, np.random.default_rng(3))
    for flat in set(batch.question.tolist()):
        assert batch.weight[batch.question == flat].sum().item() in (pytest.approx(1), pytest.approx(0.5))
