"""The words of the project as types. Knows numpy and pydantic only.

Every score is "bigger is better". `item_id` is the catalogue's string, `row` the item position in the index.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue as JsonValue

Vector: TypeAlias = NDArray[np.float32]
"""One vector, shape `(dim,)`."""

Matrix: TypeAlias = NDArray[np.float32]
"""Vectors, shape `(n, dim)`, one a row."""

Rows: TypeAlias = NDArray[np.int64]
"""Positions in the index, shape `(n,)`."""

Mask: TypeAlias = NDArray[np.bool_]
"""One flag an item, shape `(n_items,)`."""


@dataclass(frozen=True, slots=True)
class Item:
    """One catalogue entry.

    Attributes:
        id: The catalogue's id.
        text: What is encoded: the text fields joined and put through the text recipe.
        fields: Text fields and attributes as the catalogue has them, for `with_fields` and filters.
    """

    id: str
    text: str
    fields: Mapping[str, JsonValue] = field(default_factory=dict)
