"""A sample of the user-item pairs that an artifact was built from: what the next night is held against.

All items of the users whose hashes are the lowest, so that every night samples the same users. Only builders read it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtifactCorruptError
from models.types import Rows

KNOWN_PAIRS = "known_pairs.npy"


@dataclass(frozen=True, slots=True, eq=False)
class KnownPairs:
    """The sample, one entry a distinct pair, shape `(n,)`.

    Attributes:
        users: Hash of the pair's user.
        items: Row in the artifact.
    """

    users: NDArray[np.uint64]
    items: Rows

    def __len__(self) -> int:
        return len(self.items)


def write_known_pairs(folder: Path, known: KnownPairs) -> None:
    """Writes them into an artifact's directory."""
    np.save(folder / KNOWN_PAIRS, np.column_stack([known.users, known.items.astype(np.uint64)]))


def load_known_pairs(folder: Path) -> KnownPairs | None:
    """Reads what `write_known_pairs` wrote; None where an artifact has none.

    Raises:
        ArtifactCorruptError: The file isn't what it should be.
    """
    path = folder / KNOWN_PAIRS
    if not path.exists():
        return None
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactCorruptError(f"{KNOWN_PAIRS} can't be read ({error}); rebuild the artifact") from error
    if table.ndim != 2 or table.shape[1] != 2 or table.dtype != np.uint64:
        raise ArtifactCorruptError(
            f"{KNOWN_PAIRS} holds {table.dtype} {table.shape}, uint64 (n, 2) is needed; rebuild the artifact"
        )
    return KnownPairs(table[:, 0], table[:, 1].astype(np.int64))
