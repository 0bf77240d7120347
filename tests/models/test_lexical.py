"""Terms of many scripts, and lexical vectors that serve as they were fitted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from models.lexical import Lexicon, no_terms, terms
from models.training.lexical import fit_lexicon, term_matrix

TEXTS = ["red apple pie", "green apple tart", "blue bicycle wheel", "bicycle bell, blue", "apple tree"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red Apple_Pie 3.5", ["red", "apple", "pie", "3", "5"]),
        ("山道を歩く", ["山道", "道を", "を歩", "歩く"]),
        ("木 and 자전거", ["木", "and", "자전", "전거"]),
        ("حذاء خفيف", ["حذاء", "خفيف"]),
        ("🚲 !?", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_a_hand_worked_vector() -> None:
    """Two terms with idf 1 and 3, the first once, the second twice; loadings (2, 0) and (0, 1), words 1 and 10."""
    loadings, words = np.array([[2, 0], [0, 1]], np.float32), np.array([[1], [10]], np.float32)
    lexicon = Lexicon({"a": 0, "b": 1}, np.array([1, 3], np.float32), loadings, words)
    tfidf = np.array([1, 3 * (1 + np.log(2))])
    tfidf /= np.linalg.norm(tfidf)
    lexical = tfidf * [2, 1]
    expected = [*(lexical / np.linalg.norm(lexical)), tfidf @ [1, 10]]
    np.testing.assert_allclose(lexicon.vectors(["a b b c"])[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(lexicon.vectors(["unknown"]), [[0, 0, 0]])
    np.testing.assert_array_equal(no_terms(2).vectors(["a"]), [[0, 0]])


def test_fitted_vectors_are_the_projected_tfidf() -> None:
    """The serving code gives scikit-learn's own transform, up to length."""
    lexicon = fit_lexicon(TEXTS, dim=3)
    vectors = lexicon.vectors(TEXTS)
    assert vectors.shape == (5, lexicon.loadings.shape[1])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > cosines[0, 2]
    assert cosines[2, 3] > cosines[2, 0]


@pytest.mark.parametrize("texts", [["", ""], ["same"], ["!", "?"]])
def test_too_few_terms_fit_nothing(texts: list[str]) -> None:
    assert fit_lexicon(texts).vectors(texts).shape == (len(texts), 0)


def test_the_term_matrix_is_scikit_learns() -> None:
    """The serving code's weights are scikit-learn's TF-IDF, row by row."""
    lexicon = fit_lexicon(TEXTS, dim=3)
    reference = TfidfVectorizer(analyzer=terms, sublinear_tf=True, vocabulary=lexicon.vocabulary).fit(TEXTS)
    found = term_matrix(lexicon, TEXTS).toarray()
    np.testing.assert_allclose(found, reference.transform(TEXTS).toarray(), atol=1e-6)


@given(st.text())
def test_terms_are_lower_case_and_hold_no_blank(text: str) -> None:
    for term in terms(text):
        assert term == term.lower()
        assert not any(character.isspace() for character in term)
