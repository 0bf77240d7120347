"""Lexical features: what a text says word by word, beside what it means as a whole.

TF-IDF over words (and pairs of characters in scripts without blanks), projected by a truncated SVD. Numpy only, so
that the service computes them as the builder did; how they are fitted is `models.training.lexical`'s business.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.types import Matrix, Vector

# Hiragana, katakana, CJK ideographs, hangul: written without blanks, so pairs of neighbours stand for words.
_UNSPACED = "぀-ヿ㐀-䶿一-鿿가-힯"
_TOKEN = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")


def terms(text: str) -> list[str]:
    """Returns the terms of a clean text, lower case, in order."""
    found = []
    for token in _TOKEN.findall(text.lower()):
        if len(token) > 1 and "぀" <= token[0] <= "힯":
            found += [token[start : start + 2] for start in range(len(token) - 1)]
        else:
            found.append(token)
    return found


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Turns texts into lexical vectors.

    Attributes:
        vocabulary: Column of each known term.
        projection: Row of each term: its inverse document frequency times its loadings, shape `(n_terms, dim)`.
    """

    vocabulary: dict[str, int]
    projection: Matrix

    def vector(self, text: str) -> Vector:
        """Returns the unit lexical vector of a clean text, shape `(dim,)`; zeros where no term is known.

        v = norm(Σ over terms of (1 + ln count)·idf·loadings)
        """
        counts = Counter(column for term in terms(text) if (column := self.vocabulary.get(term)) is not None)
        if not counts:
            return np.zeros(self.projection.shape[1], np.float32)
        columns = np.fromiter(counts.keys(), np.int64)
        weights = (1 + np.log(np.fromiter(counts.values(), np.float32))).astype(np.float32)
        total = weights @ self.projection[columns]
        norm = float(np.linalg.norm(total))
        return (total / norm if norm > 0 else total).astype(np.float32)

    def vectors(self, texts: Sequence[str]) -> Matrix:
        """Returns the lexical vectors of clean texts, shape `(n, dim)`."""
        return np.array([self.vector(text) for text in texts], np.float32).reshape(-1, self.projection.shape[1])


NO_LEXICON = Lexicon({}, np.empty((0, 0), np.float32))
