"""The product as a ranker: an opened artifact behind the very `Recaller` that the service uses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.artifact import Artifact
from models.item_index import build_index
from models.recaller import Recaller, UserQuery
from models.training.encodings import Encodings
from models.training.split import Case
from models.types import Matrix, Rows


class Served:
    """Ranks through an artifact.

    Args:
        artifact: Built on the past.
        encodings: With what users wrote.
        rescore: Whether the relation head acts.
    """

    def __init__(self, artifact: Artifact, encodings: Encodings, *, rescore: bool) -> None:
        self._artifact, self._encodings, self._rescore = artifact, encodings, rescore
        self._recaller = Recaller(artifact)

    def rank(self, cases: Sequence[Case], k: int) -> Rows:
        """Returns the k candidates of each case, shape `(n_cases, k)`; -1 fills short lists."""
        ranked = np.full((len(cases), k), -1, np.int64)
        for row, case in enumerate(cases):
            query = UserQuery(
                texts=self._text_vectors(case),
                history=case.history,
                weights=np.ones(len(case.history), np.float32),
                excluded=np.union1d(case.history, case.barred),
                k=k,
            )
            found = self._recaller.recall(query, rescore=self._rescore).rows
            ranked[row, : len(found)] = found
        return ranked

    def _text_vectors(self, case: Case) -> Matrix:
        """Returns a case's texts as the artifact's matching reads them, its lexicon applied as the service does."""
        clean = [self._encodings.clean[text] for text in self._encodings.said(case.texts)]
        return self._artifact.text_vectors(self._encodings.of_texts(case.texts), clean)


def searched_exactly(artifact: Artifact) -> Artifact:
    """Returns the artifact with an exact index over the same item vectors."""
    return replace(artifact, index=build_index(artifact.item_vectors, "flat", params={}))
