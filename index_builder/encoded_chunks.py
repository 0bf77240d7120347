"""Embeddings of a build that isn't done yet, on disk: a build that is killed leaves them to the next one."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.types import Matrix, Vector

FOLDER = ".encoded"


class EncodedChunks:
    """Chunks of embeddings in one vector space; only one builder at a time uses them.

    Args:
        root: The artifacts folder.
        fingerprint: The encoder's; chunks of others are deleted, since their build won't come back.
    """

    def __init__(self, root: Path, fingerprint: str) -> None:
        self._folder = root / FOLDER / fingerprint[:32]
        for other in (root / FOLDER).glob("*"):
            if other != self._folder:
                shutil.rmtree(other, ignore_errors=True)

    def load(self) -> dict[bytes, Vector]:
        """Returns the embeddings by the hash of their text; a chunk that can't be read counts as never written."""
        known: dict[bytes, Vector] = {}
        for path in sorted(self._folder.glob("*.npz")):
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as chunk:
                    hashes, embeddings = chunk["hashes"], chunk["embeddings"]
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                path.unlink(missing_ok=True)
                continue
            known.update({key.tobytes(): vector for key, vector in zip(hashes, embeddings, strict=True)})
        return known

    def save(self, hashes: NDArray[np.uint8], embeddings: Matrix) -> None:
        """Writes one chunk; it is there as a whole or not at all.

        Args:
            hashes: Of the texts, shape `(n, 16)`.
            embeddings: Shape `(n, dim)`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{hashes[0].tobytes().hex()}.npz"
        unfinished = path.with_suffix(".tmp")
        with unfinished.open("wb") as file:
            np.savez(file, hashes=hashes, embeddings=embeddings)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)

    def clear(self) -> None:
        """Deletes them all: an artifact has them now."""
        shutil.rmtree(self._folder.parent, ignore_errors=True)
