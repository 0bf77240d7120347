import numpy as np

from index_builder.remembering import Remembering
from tests.fakes import FakeEncoder


def test_no_text_is_read_twice() -> None:
    encoder = FakeEncoder()
    reader, done = Remembering(encoder), []
    first = reader.encode_users(["a", "b", "a"], done.append)
    second = reader.encode_users(["b", "c"], done.append)
    assert encoder.encoded == ["a", "b", "c"]
    assert sum(done) == 5
    np.testing.assert_array_equal(first[[0, 1]], first[[2, 1]])
    np.testing.assert_array_equal(second, FakeEncoder().encode_users(["b", "c"], done.append))


def test_what_was_known_before_is_not_read() -> None:
    encoder = FakeEncoder()
    known = FakeEncoder(seed=1).encode_user("a")[0]
    np.testing.assert_array_equal(Remembering(encoder, {"a": known}).encode_users(["a"], lambda _: None), [known])
    assert encoder.encoded == []
