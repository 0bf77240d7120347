"""An encoder that reads no text twice in one run, so that a second fit costs no encoding."""

from collections.abc import Callable, Sequence

import numpy as np

from models.encoder import Encoder, QueryRuntime
from models.types import Matrix, Vector


class Remembering:
    """Remembers the vectors of user texts.

    Args:
        encoder: What reads new ones.
        vectors: Of clean texts that were read before.
    """

    def __init__(self, encoder: Encoder, vectors: dict[str, Vector] | None = None) -> None:
        self._encoder = encoder
        self._vectors = {} if vectors is None else vectors

    @property
    def runtime(self) -> QueryRuntime:
        """What the texts are read by."""
        return self._encoder.runtime

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Returns the vector and whether the text was cut."""
        return self._encoder.encode_user(text)

    def encode_users(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the vectors, shape `(n, dim)`."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if fresh:
            self._vectors.update(zip(fresh, self._encoder.encode_users(fresh, on_done), strict=True))
        on_done(len(texts) - len(fresh))
        return np.array([self._vectors[text] for text in texts], np.float32)

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the items' vectors, shape `(n, dim)`."""
        return self._encoder.encode_items(texts, on_done)
