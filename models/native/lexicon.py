"""A lexicon for a request's texts, compiled."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.lexical import Lexicon
from models.native.arrays import Kept, pointer
from models.native.library import FFI, LIBRARY
from models.types import Matrix, Vector


class NativeLexicon(Lexicon):
    """A lexicon that says what `Lexicon` does, sooner.

    Args:
        plain: What it says.
        term_vectors: [loadings ; words] of each term, shape `(n_terms, dim + tower_dim)`.
    """

    __slots__ = ("_kept", "_native")

    _native: Any
    _kept: Kept

    def __init__(self, plain: Lexicon, term_vectors: Matrix) -> None:
        super().__init__(plain.vocabulary, plain.idf, plain.loadings, plain.words)
        native, kept = FFI.new("Lexicon *"), Kept()
        native.dim, native.width = plain.loadings.shape[1], term_vectors.shape[1]
        native.rows, native.idf = kept.floats(term_vectors), kept.floats(plain.idf)
        object.__setattr__(self, "_native", native)
        object.__setattr__(self, "_kept", kept)

    def _write(self, found: Sequence[str], to: Vector) -> None:
        counts = Counter(map(self.vocabulary.get, found))
        del counts[None]  # terms that nobody knows
        n = len(counts)
        terms, often = np.fromiter(counts.keys(), np.int32, n), np.fromiter(counts.values(), np.int32, n)
        LIBRARY.recall_words(self._native, pointer(terms), pointer(often), n, pointer(to))


def native_lexicon(plain: Lexicon, term_vectors: Matrix) -> Lexicon:
    """Returns the lexicon, compiled where there is a library for it.

    Args:
        plain: The lexicon.
        term_vectors: [loadings ; words] of each term, shape `(n_terms, dim + tower_dim)`.
    """
    return plain if LIBRARY is None else NativeLexicon(plain, term_vectors)
