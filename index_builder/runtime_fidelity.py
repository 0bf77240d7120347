"""How near one runtime's candidates come to another's, and what that costs in recall. Pure numpy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.types import Matrix, Rows, Vector

MIN_OVERLAP = 0.95
MAX_LOSS = 0.01
# The interval is a test of non-inferiority: what the loss may be at worst, at 97.5 %. Fewer cases than these leave it
# so wide that it would only say so; then the estimate decides alone.
MAX_LOSS_AT_WORST = 0.02
ENOUGH_CASES = 100
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class RecallLoss:
    """What a runtime takes from recall@k, as a share of the reference's; below 0 it finds more.

    Attributes:
        share: Of the mean over the cases.
        low: Of the 95 % interval of the paired differences.
        high: Its other end.
        cases: How many texts have relevant items.
    """

    share: float
    low: float
    high: float
    cases: int

    @property
    def passes(self) -> bool:
        """Whether so little is lost, as far as the cases can tell."""
        return self.share <= MAX_LOSS and (self.cases < ENOUGH_CASES or self.high <= MAX_LOSS_AT_WORST)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How near a runtime comes to the reference.

    Attributes:
        overlap: Mean share of the reference's candidates that are found too.
        mean_cosine: Between the two embeddings of a text.
        min_cosine: The lowest of them.
        loss: Of recall; None where nobody knows what is relevant.
    """

    overlap: float
    mean_cosine: float
    min_cosine: float
    loss: RecallLoss | None

    @property
    def passes(self) -> bool:
        """Whether queries may be encoded so."""
        return self.overlap >= MIN_OVERLAP and (self.loss is None or self.loss.passes)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What one runtime made of the texts.

    Attributes:
        embeddings: Shape `(t, dim)`.
        rows: Of each text's candidates, shape `(t, k)`.
    """

    embeddings: Matrix
    rows: Rows


def fidelity(found: Found, reference: Found, relevant: Sequence[Rows]) -> Fidelity:
    """Compares a runtime with the reference.

    Args:
        found: By the runtime.
        reference: By the reference, of the same texts.
        relevant: Of each text; texts without any count for the overlap alone.
    """
    cosines = (found.embeddings * reference.embeddings).sum(axis=1)
    return Fidelity(
        overlap=float(np.mean(_shares(found.rows, list(reference.rows)))),
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        loss=_loss(found.rows, reference.rows, relevant),
    )


def _loss(found: Rows, reference: Rows, relevant: Sequence[Rows]) -> RecallLoss | None:
    cases = [number for number, rows in enumerate(relevant) if len(rows)]
    wanted = [relevant[number] for number in cases]
    had = _shares(reference[cases], wanted)
    if not had.any():
        return None
    lost = (had - _shares(found[cases], wanted)) / had.mean()
    error = _NORMAL_95 * float(lost.std(ddof=min(1, len(lost) - 1))) / np.sqrt(len(lost))
    share = float(lost.mean())
    return RecallLoss(share=share, low=share - error, high=share + error, cases=len(cases))


def _shares(found: Rows, wanted: Sequence[Rows]) -> Vector:
    """Returns of each text the share of the wanted rows that were found."""
    pairs = zip(found, wanted, strict=True)
    return np.array([np.isin(rows, mine).mean() for mine, rows in pairs], np.float32)
