"""Items by how popular they were in the past, in a few bands: whom a ranking recalls, beside whom users chose."""

import numpy as np
from numpy.typing import NDArray

from models.types import Rows, Vector

# Upper edges as shares of the catalogue by falling popularity; items without users are a band of their own.
_EDGES = {"top 1 %": 0.01, "next 4 %": 0.05, "next 15 %": 0.2, "the other 80 %": 1.0}
_COLD = "no users yet"


def bands_of(popularity: Vector) -> NDArray[np.int64]:
    """Returns each item's band, shape `(n_items,)`: 0 is the most popular, the last one has no users yet."""
    order = np.argsort(-popularity, kind="stable")
    rank = np.empty(len(popularity), np.int64)
    rank[order] = np.arange(len(popularity))
    edges = np.ceil(np.array(list(_EDGES.values())) * len(popularity))
    bands = np.searchsorted(edges, rank, side="right").astype(np.int64)
    return np.where(popularity > 0, bands, len(_EDGES))


def band_shares(bands: NDArray[np.int64], rows: Rows) -> dict[str, float]:
    """Returns the share of rows in each band; -1 entries don't count.

    Args:
        bands: Of every item.
        rows: Items, in any shape.
    """
    counted = np.bincount(bands[rows[rows >= 0]], minlength=len(_EDGES) + 1)
    shares = counted / max(counted.sum(), 1)
    return {name: float(share) for name, share in zip([*_EDGES, _COLD], shares, strict=True)}
