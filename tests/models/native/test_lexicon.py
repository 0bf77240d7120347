"""The compiled lexicon against numpy's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.lexical import Lexicon, no_terms
from models.native.lexicon import NativeLexicon, native_lexicon
from tests.models.test_fused import random

DIM, TOWER = 5, 3
TERMS = ["red", "apple", "pie", "山道", "道を"]


def lexicon() -> tuple[Lexicon, Lexicon]:
    vectors = random(1, len(TERMS), DIM + TOWER)
    idf = 1 + np.abs(random(2, len(TERMS)))
    plain = Lexicon({term: column for column, term in enumerate(TERMS)}, idf, vectors[:, :DIM], vectors[:, DIM:])
    return plain, native_lexicon(plain, vectors)


@given(st.lists(st.lists(st.sampled_from([*TERMS, "unknown", "!"]), max_size=30), max_size=4))
def test_it_says_what_numpy_says(texts: list[list[str]]) -> None:
    plain, native = lexicon()
    assert isinstance(native, NativeLexicon)
    written = [" ".join(words) for words in texts]
    embeddings = random(3, len(texts), 4)
    expected, found = plain.beside(embeddings, written), native.beside(embeddings, written)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_no_term_says_is_zero() -> None:
    _, native = lexicon()
    assert not native.vectors(["", "unknown"]).any()
    empty = no_terms(TOWER)
    assert not native_lexicon(empty, np.empty((0, TOWER), np.float32)).vectors(["red"]).any()
