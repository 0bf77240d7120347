"""Candidates as JSON text, written by the library: no object for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from models.native.arrays import floats, pointer
from models.native.library import FFI, LIBRARY
from models.types import Rows, Vector


class CandidatesJson:
    """Candidates that are text already; no dataclass, which orjson would write field by field.

    Args:
        text: A JSON list of objects with `id`, `score`, `recall_score`, `relation_score`.
        n: How many.
    """

    __slots__ = ("n", "text")

    def __init__(self, text: bytes, n: int) -> None:
        self.text = text
        self.n = n

    def __len__(self) -> int:
        return self.n


@dataclass(frozen=True, slots=True, eq=False)
class IdTable:
    """Ids as JSON strings.

    Attributes:
        text: One after the other.
        starts: Where each begins, and the last one ends, shape `(n + 1,)`.
    """

    text: bytes
    starts: NDArray[np.int64]

    @property
    def longest(self) -> int:
        """Bytes of the longest."""
        return int(np.diff(self.starts).max(initial=0))


def id_table(ids: Sequence[str]) -> IdTable:
    """Returns ids as JSON strings."""
    quoted = list(map(orjson.dumps, ids))
    return IdTable(b"".join(quoted), np.cumsum([0, *map(len, quoted)], dtype=np.int64))


class CandidateWriter:
    """Writes candidates.

    Args:
        base: Ids of the first rows.
        more: Ids of the rows behind them.
    """

    def __init__(self, base: IdTable, more: IdTable) -> None:
        self._base = base
        self._more = more
        self._longest = max(base.longest, more.longest)
        base_text, more_text = FFI.from_buffer("char[]", base.text), FFI.from_buffer("char[]", more.text)
        starts = pointer(base.starts), pointer(more.starts)
        self._native = FFI.new("Ids *", (len(base.starts) - 1, base_text, more_text, *starts))

    def beside(self, more: Sequence[str]) -> "CandidateWriter":
        """Returns what also knows the ids of rows behind its own."""
        return CandidateWriter(self._base, id_table(more))

    def write(self, rows: Rows, scores: Vector, recall_scores: Vector, *, is_related: bool) -> CandidatesJson:
        """Returns candidates as JSON, their numbers to six decimals.

        Args:
            rows: Shape `(n,)`.
            scores: What the order follows, shape `(n,)`.
            recall_scores: Shape `(n,)`.
            is_related: The scores are relation scores; else there are none.
        """
        rows, scores, recall_scores = np.ascontiguousarray(rows, np.int64), floats(scores), floats(recall_scores)
        text = FFI.new("char[]", 2 + len(rows) * (self._longest + LIBRARY.CANDIDATE_BYTES))
        of_each = pointer(rows), pointer(scores), pointer(recall_scores)
        n = LIBRARY.recall_candidates(self._native, *of_each, is_related, len(rows), text)
        return CandidatesJson(FFI.buffer(text, n)[:], len(rows))


def candidate_writer(ids: Sequence[str]) -> CandidateWriter | None:
    """Returns what writes candidates of these ids; None where there is no library."""
    return None if LIBRARY is None else CandidateWriter(id_table(ids), id_table(()))
