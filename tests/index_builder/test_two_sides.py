"""What a build encodes with: who reads items, who reads users, and when that is loaded."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from index_builder.two_sides import TwoSides
from models.encoder import QueryRuntime
from models.errors import EncoderError
from models.types import Matrix
from tests.fakes import FakeEncoder

TEXTS = ["red boots for mountains", "a map of rivers", "tea"]


class Sided(FakeEncoder):
    """Counts the texts that it reads, and turns vectors by some noise."""

    def __init__(self, runtime: QueryRuntime, noise: float = 0) -> None:
        super().__init__()
        self.runtime, self._noise, self.items, self.users = runtime, noise, 0, 0

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        self.items += len(texts)
        return super().encode_users(texts, on_done)

    def encode_users(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        self.users += len(texts)
        vectors = super().encode_users(texts, on_done)
        noisy = vectors + self._noise * np.random.default_rng(0).standard_normal(vectors.shape)
        return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def quiet(_: int) -> None:
    pass


def test_users_are_read_by_what_is_fast_and_near() -> None:
    items, fast = Sided("openvino-f32"), Sided("native-int8", noise=1e-3)
    sides = TwoSides(lambda: items, lambda: fast)
    expected = fast.encode_users(TEXTS, quiet)
    np.testing.assert_array_equal(sides.encode_users(TEXTS, quiet), expected)
    np.testing.assert_array_equal(sides.encode_items(TEXTS, quiet), items.encode_items(TEXTS, quiet))
    assert fast.items == 0
    read = items.users
    sides.encode_users(TEXTS, quiet)
    assert items.users == read  # compared once
    assert sides.runtime == "openvino-f32"


def test_what_is_far_reads_nobody(caplog: pytest.LogCaptureFixture) -> None:
    items, fast = Sided("openvino-f32"), Sided("native-int8", noise=1)
    sides = TwoSides(lambda: items, lambda: fast)
    np.testing.assert_array_equal(sides.encode_users(TEXTS, quiet), items.encode_users(TEXTS, quiet))
    assert "native-int8 gives user texts other vectors" in caplog.text
    read = fast.users
    np.testing.assert_array_equal(sides.encode_user(TEXTS[0])[0], items.encode_user(TEXTS[0])[0])
    assert fast.users == read


def test_without_anything_faster_items_side_reads_all() -> None:
    items = Sided("openvino-f32")
    np.testing.assert_array_equal(
        TwoSides(lambda: items, lambda: None).encode_users(TEXTS, quiet), items.encode_users(TEXTS, quiet)
    )


def test_neither_side_is_loaded_before_it_is_needed() -> None:
    loaded: list[str] = []

    def load(name: QueryRuntime) -> Sided:
        loaded.append(name)
        return Sided(name)

    sides = TwoSides(lambda: load("openvino-f32"), lambda: load("native-int8"))
    assert loaded == []
    sides.encode_items(TEXTS, quiet)
    assert loaded == ["openvino-f32"]
    sides.encode_users(TEXTS, quiet)
    sides.encode_users(TEXTS, quiet)
    assert loaded == ["openvino-f32", "native-int8"]


def test_what_fails_reads_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Sided:
        raise EncoderError("the tokenizer gives 900 tokens")

    items = Sided("openvino-f32")
    np.testing.assert_array_equal(
        TwoSides(lambda: items, fail).encode_users(TEXTS, quiet), items.encode_users(TEXTS, quiet)
    )
    assert "reads user texts, too: the tokenizer gives 900 tokens" in caplog.text
