from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from models.training.finetune_batches import ApartBatchSampler, Row

_ITEMS = st.integers(0, 15).map("item {}".format)


@st.composite
def _rows(draw: st.DrawFn) -> list[Row]:
    """Pairs of some users, with a hard negative that the user did not consume where there is one."""
    found: list[Row] = []
    for user in range(draw(st.integers(1, 8))):
        own = frozenset(draw(st.sets(_ITEMS, min_size=1, max_size=5)))
        others = st.sampled_from(sorted({f"item {n}" for n in range(16)} - own))
        for item in sorted(own):
            negatives = draw(st.lists(others, max_size=1))
            found.append((f"text of {user // 2}", (item, *negatives), own))
    return found


def sampler(rows: list[Row], *, batch_size: int, seed: int = 0) -> ApartBatchSampler:
    dataset = Dataset.from_dict({"anchor": [anchor for anchor, _, _ in rows]})
    return ApartBatchSampler(dataset, rows, batch_size=batch_size, seed=seed)


@given(_rows(), st.integers(2, 6))
def test_nothing_that_a_user_consumed_is_a_negative(rows: list[Row], batch_size: int) -> None:
    batches = sampler(rows, batch_size=batch_size)
    drawn = list(batches)
    assert len(drawn) == len(batches)
    for batch in drawn:
        assert 2 <= len(batch) <= batch_size
        assert len({rows[row][0] for row in batch}) == len(batch)
        for row in batch:
            negatives = {text for other in batch if other != row for text in rows[other][1]}
            assert negatives.isdisjoint(rows[row][2])


def apart(n: int) -> list[Row]:
    return [(f"text {k}", (f"item {k}",), frozenset({f"item {k}"})) for k in range(n)]


def test_pairs_that_are_apart_are_all_used_once_in_full_batches() -> None:
    drawn = list(sampler(apart(20), batch_size=5))
    assert [len(batch) for batch in drawn] == [5] * 4
    assert sorted(row for batch in drawn for row in batch) == list(range(20))


def test_less_than_half_a_batch_is_left_out_but_one_batch_there_is() -> None:
    assert [len(batch) for batch in sampler(apart(22), batch_size=5)] == [5] * 4
    assert [len(batch) for batch in sampler(apart(2), batch_size=64)] == [2]


def test_each_epoch_has_an_order_of_its_own_which_its_seed_repeats() -> None:
    batches, again = sampler(apart(20), batch_size=5), sampler(apart(20), batch_size=5)
    first = list(batches)
    batches.set_epoch(1)
    assert list(batches) != first
    assert list(again) == first
    assert list(sampler(apart(20), batch_size=5, seed=1)) != first
