"""What the tower reads where it is fitted: features of items and texts, held once for all members."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from models.training.term_sums import ChosenTermSums, TermSums
from models.types import Mask, Matrix, Vector


@dataclass(frozen=True, slots=True, eq=False)
class TowerInputs:
    """What the tower reads.

    Attributes:
        items: [embedding ; lexical vector] of the items, shape `(n_items, text_dim)`.
        texts: The same of the texts, shape `(n_texts, text_dim)`.
        item_terms: TF-IDF of the items, unit rows, shape `(n_items, n_terms)`.
        text_terms: The same of the texts, shape `(n_texts, n_terms)`.
        projection: What both projections start from, shape `(text_dim, dim)`.
        warm: Which items have users.
        popularity: Standardised log popularity, shape `(n_items,)`.
    """

    items: Matrix
    texts: Matrix
    item_terms: csr_matrix
    text_terms: csr_matrix
    projection: Matrix
    warm: Mask
    popularity: Vector


class TowerTables(nn.Module):
    """The inputs in torch; nothing in it is learnt."""

    def __init__(self, inputs: TowerInputs) -> None:
        super().__init__()
        self.start = torch.from_numpy(inputs.projection)
        self.n_items, self.n_terms = inputs.item_terms.shape
        self.items: Tensor
        self.low_items: Tensor
        self.texts: Tensor
        self.warm: Tensor
        self.popularity: Tensor
        for name, values in (
            ("items", torch.from_numpy(inputs.items)),
            ("low_items", torch.from_numpy(inputs.items).bfloat16()),  # once: they are all read in every step
            ("texts", torch.from_numpy(inputs.texts)),
            ("warm", torch.from_numpy(inputs.warm.astype(np.float32))),
            ("popularity", torch.from_numpy(inputs.popularity)),
        ):
            self.register_buffer(name, values, persistent=False)
        self.item_terms, self.text_terms = TermSums(inputs.item_terms), ChosenTermSums(inputs.text_terms)

    def item_meaning(self) -> Tensor:
        """Returns [embedding ; lexical vector] of the items as the products take it, shape `(n_items, text_dim)`."""
        return self.low_items if torch.is_autocast_enabled(self.items.device.type) else self.items
