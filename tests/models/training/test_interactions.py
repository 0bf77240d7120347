import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.interactions import Interactions


def interactions(pairs: list[tuple[int, int]]) -> Interactions:
    return Interactions(
        users=np.array([user for user, _ in pairs], dtype=np.int64),
        user_ids=tuple(f"u{user}" for user in range(10)),
        items=np.array([item for _, item in pairs], dtype=np.int64),
    )


def test_popularity_counts_a_user_once_an_item() -> None:
    popularity = interactions([(0, 1), (0, 1), (1, 1), (2, 3)]).popularity(5)
    assert popularity.dtype == np.float32
    assert popularity.tolist() == [0, 2, 0, 1, 0]


def test_popularity_of_none() -> None:
    assert interactions([]).popularity(3).tolist() == [0, 0, 0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6))))
def test_popularity_equals_counting_sets(pairs: list[tuple[int, int]]) -> None:
    users_of = {item: {user for user, other in pairs if other == item} for item in range(7)}
    assert interactions(pairs).popularity(7).tolist() == [len(users_of[item]) for item in range(7)]


def test_length() -> None:
    assert len(interactions([(0, 1), (0, 1)])) == 2


@pytest.mark.parametrize("column", ["items", "times", "texts"])
def test_columns_of_different_length_are_a_bug(column: str) -> None:
    columns = {"items": np.zeros(2, np.int64), "times": np.zeros(2), "texts": ("a", None)}
    Interactions(users=np.zeros(2, np.int64), user_ids=("u",), **columns)
    columns[column] = columns[column][:1]
    with pytest.raises(AssertionError):
        Interactions(users=np.zeros(2, np.int64), user_ids=("u",), **columns)
