"""Lexical features: what a text says word by word, beside what it means as a whole.

TF-IDF over words (and pairs of characters in scripts without blanks), projected by a truncated SVD. Numpy only, so
that the service computes them as the builder did; how they are fitted is `models.training.lexical`'s business.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.types import Matrix, Rows, Vector

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
        idf: Inverse document frequency of each term, shape `(n_terms,)`.
        loadings: Of each term on the lexical vector's dimensions, shape `(n_terms, dim)`.
        words: What each term adds to a tower's output vectors, shape `(n_terms, tower_dim)`; no dimensions before
            a tower is learnt.
    """

    vocabulary: dict[str, int]
    idf: Vector
    loadings: Matrix
    words: Matrix

    def weigh(self, text: str) -> tuple[Rows, Vector]:
        """Returns the columns of a clean text's known terms and their TF-IDF, (1 + ln count)·idf, of unit length."""
        return self._weigh(terms(text))

    def _weigh(self, found: Sequence[str]) -> tuple[Rows, Vector]:
        counts = Counter(column for term in found if (column := self.vocabulary.get(term)) is not None)
        columns = np.fromiter(counts.keys(), np.int64, len(counts))
        weights = (1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))) * self.idf[columns]
        return columns, _unit(weights)

    def vector(self, text: str) -> Vector:
        """Returns [unit lexical vector ; what the words add], shape `(dim + tower_dim,)`; zeros without known terms."""
        return self._vector(terms(text))

    def _vector(self, found: Sequence[str]) -> Vector:
        columns, weights = self._weigh(found)
        return np.concatenate([_unit(weights @ self.loadings[columns]), weights @ self.words[columns]])

    def vectors(self, texts: Sequence[str]) -> Matrix:
        """Returns the vectors of clean texts, shape `(n, dim + tower_dim)`."""
        return self._vectors([terms(text) for text in texts])

    def _vectors(self, found: Sequence[Sequence[str]]) -> Matrix:
        width = self.loadings.shape[1] + self.words.shape[1]
        return np.array(list(map(self._vector, found)), np.float32).reshape(len(found), width)

    def beside(self, embeddings: Matrix, texts: Sequence[str]) -> Matrix:
        """Returns texts as a learnt matching reads them.

        Args:
            embeddings: Of the texts, shape `(n, dim)`.
            texts: The same, clean.

        Returns:
            [embedding ; lexical vector ; what its words add ; how many words] of each.
        """
        found = [terms(text) for text in texts]
        return np.hstack([embeddings, self._vectors(found), _counts(found)])


def word_counts(texts: Sequence[str]) -> Matrix:
    """Returns how many words clean texts have, shape `(n, 1)`."""
    return _counts([terms(text) for text in texts])


def _counts(found: Sequence[Sequence[str]]) -> Matrix:
    return np.array(list(map(len, found)), np.float32)[:, None]


def _unit(vector: Vector) -> Vector:
    norm = float(np.linalg.norm(vector))
    return (vector / norm if norm > 0 else vector).astype(np.float32)


def no_terms(tower_dim: int = 0) -> Lexicon:
    """Returns the lexicon of texts that hold too few terms for one."""
    return Lexicon({}, np.empty(0, np.float32), np.empty((0, 0), np.float32), np.empty((0, tower_dim), np.float32))
