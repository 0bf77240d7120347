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
        counts = Counter(map(self.vocabulary.get, found))
        del counts[None]  # terms that nobody knows
        columns = np.fromiter(counts.keys(), np.int64, len(counts))
        weights = (1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))) * self.idf[columns]
        return columns, _unit(weights)

    def vectors(self, texts: Sequence[str]) -> Matrix:
        """Returns [unit lexical vector ; what the words add] of clean texts, zeros where no term is known.

        Its shape is `(n, dim + tower_dim)`.
        """
        found = np.empty((len(texts), self.loadings.shape[1] + self.words.shape[1]), np.float32)
        for row, text in zip(found, texts, strict=True):
            self._write(terms(text), row)
        return found

    def _write(self, found: Sequence[str], to: Vector) -> None:
        dim = self.loadings.shape[1]
        columns, weights = self._weigh(found)
        to[:dim] = _unit(weights @ self.loadings[columns])
        to[dim:] = weights @ self.words[columns]

    def beside(self, embeddings: Matrix, texts: Sequence[str]) -> Matrix:
        """Returns texts as a learnt matching reads them.

        Args:
            embeddings: Of the texts, shape `(n, dim)`.
            texts: The same, clean.

        Returns:
            [embedding ; lexical vector ; what its words add ; how many words] of each.
        """
        dim = embeddings.shape[1]
        read = np.empty((len(texts), dim + self.loadings.shape[1] + self.words.shape[1] + 1), np.float32)
        read[:, :dim] = embeddings
        for row, text in zip(read, texts, strict=True):
            found = terms(text)
            self._write(found, row[dim:-1])
            row[-1] = len(found)
        return read


def word_counts(texts: Sequence[str]) -> Matrix:
    """Returns how many words clean texts have, shape `(n, 1)`."""
    return np.array([len(terms(text)) for text in texts], np.float32)[:, None]


def _unit(vector: Vector) -> Vector:
    norm = float(np.linalg.norm(vector))
    return (vector / norm if norm > 0 else vector).astype(np.float32)


def no_terms(tower_dim: int = 0) -> Lexicon:
    """Returns the lexicon of texts that hold too few terms for one."""
    return Lexicon({}, np.empty(0, np.float32), np.empty((0, 0), np.float32), np.empty((0, tower_dim), np.float32))
