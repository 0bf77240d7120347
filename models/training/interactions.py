"""Interactions as arrays: who consumed what, when, and what they wrote with it. Pure numpy, no I/O."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.types import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """The positives that models are fitted to and evaluated on; one entry an interaction, shape `(n,)`.

    Attributes:
        users: Positions in `user_ids`.
        user_ids: Each user once; every user has an interaction.
        items: Rows of the catalogue.
        times: Bigger is later: unix seconds where the table has numbers or dates, else dense ranks. None where
            the table has no time: the interactions are unordered.
        texts: What the user wrote with the interaction, None where nothing; None where the table has no text.
    """

    users: NDArray[np.int64]
    user_ids: tuple[str, ...]
    items: Rows
    times: NDArray[np.float64] | None = None
    texts: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        for column in (self.items, self.times, self.texts):
            assert column is None or len(column) == len(self.users)

    def __len__(self) -> int:
        return len(self.users)

    def popularity(self, n_items: int) -> NDArray[np.float32]:
        """Returns how many distinct users consumed each item, shape `(n_items,)`.

        Args:
            n_items: Items of the catalogue; every entry of `items` is below it.
        """
        pairs = np.unique(self.users * n_items + self.items)
        return np.bincount(pairs % n_items, minlength=n_items).astype(np.float32)
