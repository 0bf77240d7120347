"""Text alone, nothing learnt from interactions: BM25 over words, and the encoder's embeddings as they are."""

from collections import Counter
from collections.abc import Mapping, Sequence

import bm25s
import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from models.lexical import terms
from models.training.baselines.base import Kind, Scores, Setting, case_histories
from models.training.encodings import Encodings
from models.training.interactions import Interactions
from models.training.split import TASKS, Case, Task
from models.types import Matrix


class Bm25:
    """BM25 of the user's texts, or of the history's item texts where the user wrote nothing, over the items' texts.

    Args:
        item_texts: Clean, in row order.
        user_texts: The clean form of each text that users wrote.
    """

    name = "BM25"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset(TASKS)
    settings: Sequence[Setting] = tuple({"k1": k1, "b": b} for k1, b in ((0.6, 0.4), (1.2, 0.4), (1.2, 0.75), (2, 0.9)))
    decays: tuple[float, ...] = (1.0, 0.8, 0.6)

    def __init__(self, item_texts: Sequence[str], user_texts: Mapping[str, str]) -> None:
        self._items = [terms(text) for text in item_texts]
        self._user_texts = user_texts

    def fits(self, past: Interactions) -> bool:
        """Returns whether the catalogue's texts hold any word."""
        return any(self._items)

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns BM25 of the words asked for: it is additive, so texts and histories are sums of words."""
        index = bm25s.BM25(k1=setting["k1"], b=setting["b"])
        index.index(self._items, create_empty_token=False, show_progress=False)
        vocabulary: dict[str, int] = index.vocab_dict
        stored = index.scores
        shape = (len(self._items), len(vocabulary))
        by_term = csc_matrix((stored["data"], stored["indices"], stored["indptr"]), shape=shape).T.tocsr()
        item_counts = _counts([[words] for words in self._items], vocabulary)

        def compute(cases: Sequence[Case], decay: float) -> Matrix:
            asked = _counts([self._words(case) for case in cases], vocabulary, decay)
            silent = csr_matrix(np.diag([float(not case.texts) for case in cases]))
            asked = asked + silent @ case_histories(cases, encodings.n_items, decay) @ item_counts
            return (asked @ by_term).toarray().astype(np.float32)  # type: ignore[no-any-return]  # scipy has no types

        return compute

    def _words(self, case: Case) -> list[list[str]]:
        return [terms(self._user_texts[text]) for text in case.texts if text in self._user_texts]


class ZeroShot:
    """Cosine between items' embeddings and the decayed mean of texts and history, as before any training."""

    name = "zero-shot"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset(TASKS)
    settings: Sequence[Setting] = ({},)
    decays: tuple[float, ...] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)

    def fits(self, past: Interactions) -> bool:
        """Returns True."""
        return True

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns inner products with the decayed sum; nothing is fitted."""
        embeddings = encodings.items
        dim = embeddings.shape[1]

        def compute(cases: Sequence[Case], decay: float) -> Matrix:
            users = np.zeros((len(cases), dim), np.float32)
            for row, case in enumerate(cases):
                for vectors in (encodings.of_texts(case.texts), embeddings[case.history]):
                    users[row] += decay ** np.arange(len(vectors) - 1, -1, -1) @ vectors
            return users @ embeddings.T

        return compute


def _counts(asked: Sequence[Sequence[Sequence[str]]], vocabulary: Mapping[str, int], decay: float = 1.0) -> csr_matrix:
    """Returns how often each word stands in somebody's texts, older texts decayed, shape `(n, n_words)`."""
    rows, columns, values = [], [], []
    for row, texts in enumerate(asked):
        for step, words in enumerate(reversed(texts)):
            for column, count in Counter(vocabulary[word] for word in words if word in vocabulary).items():
                rows.append(row)
                columns.append(column)
                values.append(count * decay**step)
    shape = (len(asked), len(vocabulary))
    places = (np.array(rows, np.int64), np.array(columns, np.int64))
    return csr_matrix((np.array(values, np.float32), places), shape=shape)
