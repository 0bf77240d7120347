"""Tonight's interactions against the sample of pairs that the live artifact was built from: which are still there."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from models.artifact import Artifact
from models.known_pairs import KnownPairs, load_known_pairs
from models.training.interactions import Interactions

# Users in a sample: a loss of some per cent of recall is beyond chance, and they are asked in seconds.
_USERS = 2_000
_EXAMPLES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What became of the live artifact's pairs.

    Attributes:
        rows: Which of tonight's interactions are known pairs, shape `(n_interactions,)`.
        share_gone: Share of the known pairs that aren't among tonight's, in [0, 1].
        lost_most: Tonight's users that lost the most, with the pairs gone and the pairs known of each.
    """

    rows: NDArray[np.bool_]
    share_gone: float
    lost_most: tuple[tuple[str, int, int], ...]


def sample_pairs(interactions: Interactions) -> KnownPairs | None:
    """Returns the pairs of the users whose hashes are the lowest; None where there are no interactions.

    Args:
        interactions: What an artifact is built from.
    """
    if not len(interactions):
        return None
    users = _user_hashes(interactions)
    sampled = np.zeros(len(users), np.bool_)
    sampled[np.argsort(users, kind="stable")[:_USERS]] = True
    rows = sampled[interactions.users]
    pairs = np.unique(np.column_stack([interactions.users[rows], interactions.items[rows]]), axis=0)
    return KnownPairs(users[pairs[:, 0]], pairs[:, 1])


def kept_pairs(live: Artifact, interactions: Interactions, item_ids: Sequence[str]) -> Kept | None:
    """Returns what became of the live artifact's pairs; None where it keeps no sample.

    Args:
        live: The live artifact.
        interactions: Tonight's.
        item_ids: Of tonight's catalogue, in row order.
    """
    known = load_known_pairs(live.folder)
    if known is None:
        return None
    # Users by their place among the known ones, items by their row in the live artifact; -1 is unknown there.
    sampled = np.unique(known.users)
    hashes = _user_hashes(interactions)
    places = np.minimum(np.searchsorted(sampled, hashes), len(sampled) - 1)
    places = np.where(sampled[places] == hashes, places, -1)
    live_rows = np.array([live.rows.get(item_id, -1) for item_id in item_ids], np.int64)
    users, items = places[interactions.users], live_rows[interactions.items]
    n_items = len(live.item_ids)
    theirs = np.searchsorted(sampled, known.users) * n_items + known.items
    ours = np.where((users >= 0) & (items >= 0), users * n_items + items, -1)
    found = np.isin(theirs, ours)
    n_known = np.bincount(theirs // n_items, minlength=len(sampled))
    n_gone = np.bincount(theirs[~found] // n_items, minlength=len(sampled))
    there = [(user, int(n_gone[place]), int(n_known[place]))
             for user, place in zip(interactions.user_ids, places.tolist(), strict=True) if place >= 0]  # fmt: skip
    worst = sorted((one for one in there if one[1]), key=lambda one: -one[1])[:_EXAMPLES]
    return Kept(np.isin(ours, theirs), 1 - float(found.mean()), tuple(worst))


def _user_hashes(interactions: Interactions) -> NDArray[np.uint64]:
    digests = (blake2b(user.encode(), digest_size=8).digest() for user in interactions.user_ids)
    return np.array([int.from_bytes(digest) for digest in digests], np.uint64)
