"""From what is known of a user to a rescored pool as one job for the library's threads."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.fused import Asked
from models.native.arrays import floats, pointer
from models.native.library import FFI, LIBRARY
from models.native.matching import Asking
from models.native.rescore import NativeHead
from models.native.search import NativeSearch
from models.native.threads import Job
from models.relation_features import N_FEATURES
from models.types import Mask, Matrix, Rows, Vector


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What the threads search, and how.

    Attributes:
        search: Over a reduced index.
        k: How many are wanted.
        n_compared: How many of the reduced ones are compared by their whole vectors.
        eligible: Which may be returned, shape `(n_items,)`; None means all.
        more: Items whose rows are behind those.
    """

    search: NativeSearch
    k: int
    n_compared: int
    eligible: Mask | None
    more: "Compared | None" = None

    def fill(self, struct: Any) -> object:  # noqa: ANN401  # cffi's structs have no type
        """Points a struct of the library at it; returns what has to be kept beside it."""
        eligible = None if self.eligible is None else np.ascontiguousarray(self.eligible)
        struct.reduced, struct.k, struct.n_compared = self.search.native, self.k, self.n_compared
        struct.eligible = FFI.NULL if eligible is None else pointer(eligible)
        return self, eligible


class Find:
    """A search and its rescoring, to be done by the threads.

    Args:
        compared: What is searched.
        query: The user vector, shape `(dim,)`, or whose it is to become.
        deadline: Seconds until it need no longer begin; None where there is always time.
    """

    def __init__(self, compared: Compared, query: Vector | Asking, deadline: float | None) -> None:
        k, asking = compared.k, query if isinstance(query, Asking) else None
        query = query.asked.vector if isinstance(query, Asking) else floats(query)
        if query.shape != (compared.search.dim,):  # it would be read past its end
            raise ValueError(f"the query has shape {query.shape}, the index dim {compared.search.dim}")
        self._rows, self._numbers = np.empty(k, np.int64), np.empty((N_FEATURES + 3, k), np.float32)
        self._order = self._numbers[2].view(np.int32)
        self._kept: list[object] = [query, asking]
        self._native = native = FFI.new("Find *")
        native.ask = FFI.NULL if asking is None else asking.native
        native.query, native.n = pointer(query), -1
        self._kept.append(compared.fill(native.items))
        if compared.more is not None:
            self._kept.append(compared.more.fill(native.more))
        native.deadline = np.inf if deadline is None else LIBRARY.recall_seconds() + deadline
        native.rows, native.scores, native.relation = pointer(self._rows), *map(pointer, self._numbers[:2])
        native.order, native.features = pointer(self._order), pointer(self._numbers[3:])

    def rescore(self, head: NativeHead, asked: Asked, items: Matrix) -> None:
        """Has the head look at the pool, too.

        Args:
            head: The head.
            asked: The user.
            items: Vectors of the catalogue, shape `(n_items, D)`.
        """
        known, kept = head.catalogue(asked, items).known(asked)
        self._native.known, self._native.head = known, head.native
        self._kept += [head, asked, known, kept]

    @property
    def job(self) -> Job:
        """What the threads are given."""
        return Job(LIBRARY.recall_find, self._native, (self, self._kept))

    def run(self) -> None:
        """Does it in this thread."""
        LIBRARY.recall_find(self._native)

    @property
    def has_begun(self) -> bool:
        """Whether a thread has taken it up."""
        return bool(self._native.has_begun)

    @property
    def is_late(self) -> bool:
        """Whether the deadline had passed by then, so that nothing was done."""
        return self.has_begun and self._native.n < 0

    @property
    def is_of_nobody(self) -> bool:
        """Whether nothing turned out to be known of the user, so that nothing was searched."""
        return self._native.ask != FFI.NULL and not self._native.ask.asked.is_known

    @property
    def is_skipped(self) -> bool:
        """Whether the deadline passed before the head could look."""
        return self._native.head != FFI.NULL and not self._native.is_rescored and not self.is_of_nobody

    @property
    def seconds(self) -> tuple[float, float]:
        """What searching and rescoring took."""
        return self._native.search_seconds, self._native.rescore_seconds

    @property
    def pool(self) -> tuple[Rows, Vector]:
        """What was found: rows and scores, best first."""
        n = self._native.n
        return self._rows[:n], self._numbers[0, :n]

    @property
    def rescored(self) -> tuple[Vector, Rows] | None:
        """The relation scores of the pool and the places in their falling order; None where the head didn't act."""
        n = self._native.n
        return (self._numbers[1, :n], self._order[:n].astype(np.int64)) if self._native.is_rescored else None
