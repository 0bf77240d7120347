"""Tables of varying height filled up to few heights: torch prepares a product on a CPU for each height it meets anew.

That takes longer than the products of a tower's batches, whose questions and texts are never as many as before.
"""

import torch.nn.functional as F
from torch import Tensor

MULTIPLE = 64


def filled(rows: Tensor, multiple: int = MULTIPLE) -> Tensor:
    """Returns the rows with zeros behind, to a multiple of so many rows."""
    return F.pad(rows, (*(0, 0) * (rows.ndim - 1), 0, -len(rows) % multiple))
