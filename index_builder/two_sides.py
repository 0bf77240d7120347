"""What a build encodes with: items as precisely as the artifact says, user texts as fast as a service does."""

import logging
from collections.abc import Callable, Sequence
from functools import cached_property

from models.encoder import PROBE_COSINES, Encoder, QueryRuntime
from models.errors import EncoderError
from models.types import Matrix, Vector

_CHECKED_TEXTS = 64

_log = logging.getLogger(__name__)


class TwoSides:
    """An encoder of items and of users, of which each side is loaded when it is first needed.

    Args:
        load_items: Loads what encodes items, and users where nothing faster comes near it.
        load_fast: Loads what may read users instead; returns None where nothing may.
    """

    def __init__(self, load_items: Callable[[], Encoder], load_fast: Callable[[], Encoder | None]) -> None:
        self._load_items, self._load_fast = load_items, load_fast
        self._users: Encoder | None = None

    @property
    def runtime(self) -> QueryRuntime:
        """What encodes items."""
        return self._items.runtime

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Returns the unit vector of a user text, shape `(dim,)`, and whether the text was cut."""
        return self._reader([text]).encode_user(text)

    def encode_users(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of many user texts, shape `(n, dim)`; tells `on_done` how many more are ready."""
        return self._reader(texts).encode_users(texts, on_done)

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of item texts, shape `(n, dim)`; tells `on_done` how many more are ready."""
        return self._items.encode_items(texts, on_done)

    @cached_property
    def _items(self) -> Encoder:
        return self._load_items()

    def _reader(self, texts: Sequence[str]) -> Encoder:
        if self._users is None:
            self._users = self._near(texts) or self._items
        return self._users

    def _near(self, texts: Sequence[str]) -> Encoder | None:
        """Returns what is fast if it works and comes near."""
        try:
            fast = self._load_fast()
            return fast if fast is not None and self._is_near(fast, texts) else None
        except EncoderError as error:
            _log.warning("what encodes items reads user texts, too: %s", error)
            return None

    def _is_near(self, fast: Encoder, texts: Sequence[str]) -> bool:
        """Returns whether it gives some texts vectors that a service would take."""
        sample = list(texts[:: max(1, len(texts) // _CHECKED_TEXTS)][:_CHECKED_TEXTS])
        exact, found = (one.encode_users(sample, lambda _: None) for one in (self._items, fast))
        cosine = float((exact * found).sum(axis=1).mean())
        if cosine < PROBE_COSINES[fast.runtime]:
            _log.warning("%s gives user texts other vectors (mean cosine %.4f): not used", fast.runtime, cosine)
        return cosine >= PROBE_COSINES[fast.runtime]
