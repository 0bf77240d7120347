"""Neighbours: items consumed by the same users, users with alike histories, users who wrote alike texts."""

from collections.abc import Sequence

import numpy as np
from implicit.nearest_neighbours import ItemItemRecommender
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from models.training.baselines.base import Kind, Scores, Setting, case_histories, consumed
from models.training.encodings import Encodings
from models.training.interactions import Interactions
from models.training.l3ae import history_matrix
from models.training.split import TASKS, Case, Task, events_by_user
from models.types import Matrix, Rows


class ItemNeighbours:
    """The sum, over the history, of cosines between items' users; each item keeps its nearest."""

    name = "item-kNN"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset({"history"})
    settings: Sequence[Setting] = tuple({"neighbours": count} for count in (50, 100, 300))
    decays: tuple[float, ...] = (1.0, 0.8, 0.6, 0.4)

    def fits(self, past: Interactions) -> bool:
        """Returns True."""
        return True

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns histories times the cosines."""
        directions = normalize(consumed(past, encodings.n_items).astype(np.float64), axis=0).tocsr()
        with threadpool_limits(1, "blas"):  # implicit has threads of its own
            model = ItemItemRecommender(K=int(setting["neighbours"]))
            model.fit(directions, show_progress=False)
        alike = csr_matrix(model.similarity, dtype=np.float32)
        return lambda cases, decay: (case_histories(cases, encodings.n_items, decay) @ alike).toarray()


class UserNeighbours:
    """What the users with the most alike histories consumed, weighted by the cosine of the histories."""

    name = "user-kNN"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset({"history"})
    settings: Sequence[Setting] = tuple({"neighbours": count} for count in (100, 400, 1_500, 5_000))
    decays: tuple[float, ...] = (1.0, 0.8, 0.6)

    def fits(self, past: Interactions) -> bool:
        """Returns True."""
        return True

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns cosines with the nearest users times what they consumed."""
        x = consumed(past, encodings.n_items)
        directions = normalize(x).T.tocsr()
        count = min(int(setting["neighbours"]), x.shape[0])

        def compute(cases: Sequence[Case], decay: float) -> Matrix:
            alike = (normalize(case_histories(cases, encodings.n_items, decay)) @ directions).toarray()
            bound = np.partition(alike, -count, axis=1)[:, -count, None]
            nearest = csr_matrix(np.where(alike >= bound, alike, 0))
            return (nearest @ x).toarray()  # type: ignore[no-any-return]  # scipy has no types

        return compute


class TextNeighbours:
    """The sum, over training users' texts, of cos^power to the case's texts times what their writers consumed."""

    name = "user-text kNN"
    kind: Kind = "baseline"
    tasks: frozenset[Task] = frozenset(TASKS)
    settings: Sequence[Setting] = tuple({"power": power} for power in (4, 8, 16, 32))
    decays: tuple[float, ...] = (1.0, 0.8, 0.6)

    def fits(self, past: Interactions) -> bool:
        """Returns whether users wrote anything."""
        return any(past.texts or ())

    def fit(self, past: Interactions, encodings: Encodings, setting: Setting, *, seed: int) -> Scores:
        """Returns likeness to the writers' texts times what they consumed."""
        texts, consumed_by_writer = _written(past, encodings)
        embeddings = encodings.users[texts]

        def compute(cases: Sequence[Case], decay: float) -> Matrix:
            alike = np.zeros((len(cases), len(texts)), np.float32)
            for row, case in enumerate(cases):
                vectors = encodings.of_texts(case.texts)
                weights = decay ** np.arange(len(vectors) - 1, -1, -1)
                alike[row] = weights @ np.maximum(vectors @ embeddings.T, 0) ** setting["power"]
            return alike @ consumed_by_writer  # type: ignore[no-any-return]  # scipy has no types

        return compute


def _written(past: Interactions, encodings: Encodings) -> tuple[Rows, csr_matrix]:
    """Returns text rows and what each writer consumed: all for a stated need, else what came with the text or later."""
    texts: list[int] = []
    items: list[Rows] = []
    for events in events_by_user(past).values():
        if events.stated_need is not None:
            pairs = [(events.stated_need, events.items)]
        else:
            pairs = [(text, events.items[step:]) for step, text in enumerate(events.texts) if text]
        for text, consumed_since in pairs:
            if text in encodings.rows:
                texts.append(encodings.rows[text])
                items.append(consumed_since)
    return np.array(texts, np.int64), history_matrix(items, encodings.n_items, longest=1_000)
