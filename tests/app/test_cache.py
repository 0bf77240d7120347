"""The parts of the cache that need no Redis: keys, bytes, memory, and URLs that lead to none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cache import CachedText, MemoryCache, cache_key
from models.errors import ConfigError
from tests.app.caches import DIM, entry, garbage, redis_cache

any_text = st.text(st.characters())  # lone surrogates included


# Keys


@given(any_text, any_text, any_text, any_text)
def test_keys_are_equal_only_for_equal_namespace_and_text(space, text, other_space, other_text):
    same = (space, text) == (other_space, other_text)
    assert (cache_key(space, text) == cache_key(other_space, other_text)) is same


@given(any_text, st.integers(0, 20))
def test_a_key_knows_where_the_namespace_ends(joined, cut):
    keys = {cache_key(joined[:at], joined[at:]) for at in range(len(joined) + 1)}
    assert len(keys) == len(joined) + 1
    assert all(len(key) >= 16 for key in keys)


# Bytes


@given(st.lists(st.floats(-1, 1), min_size=DIM, max_size=DIM).filter(lambda v: np.linalg.norm(v) > 0.1), st.booleans())
def test_bytes_bring_back_what_was_kept(values, truncated):
    kept = entry(*values, truncated=truncated)
    back = CachedText.from_bytes(kept.to_bytes(), DIM)
    assert back is not None
    assert back.vector.tobytes() == kept.vector.tobytes()
    assert back.truncated is truncated
    assert not back.vector.flags.writeable


def test_bytes_are_little_endian_halves_and_a_flag():
    assert entry(0, -1, 0, 0, truncated=True).to_bytes() == b"\x00\x00\x00\xbc\x00\x00\x00\x00\x01"


@pytest.mark.parametrize("kind", garbage())
def test_garbage_is_a_miss(kind):
    assert CachedText.from_bytes(garbage()[kind], DIM) is None


@given(st.binary(max_size=3 * DIM))
def test_no_bytes_raise_or_give_anything_but_a_unit_vector(data):
    got = CachedText.from_bytes(data, DIM)
    assert got is None or np.linalg.norm(got.vector.astype(np.float64)) == pytest.approx(1, abs=3e-3)


# Memory


def test_memory_drops_what_was_used_longest_ago():
    memory = MemoryCache(2)
    memory.put_many({b"a": entry(), b"b": entry()})
    memory.get_many([b"a"])
    memory.put_many({b"c": entry()})
    assert [one is not None for one in memory.get_many([b"a", b"b", b"c"])] == [True, False, True]


def test_memory_of_no_entries_keeps_nothing():
    memory = MemoryCache(0)
    memory.put_many({b"a": entry()})
    assert memory.get_many([b"a"]) == [None]


# URLs


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://:secret@host", "redis://:secret@host:port"])
def test_a_wrong_url_is_refused_without_showing_its_password(url):
    with pytest.raises(ConfigError, match="redis://") as caught:
        redis_cache(url)
    assert "secret" not in str(caught.value)
