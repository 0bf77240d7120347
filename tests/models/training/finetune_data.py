"""A little shop with a pattern to learn: users write about what they consume."""

import numpy as np

from models.training.interactions import Interactions
from tests.tiny_model import WORDS

_WORDS = WORDS.split()
_N_USERS = 40
ITEM_TEXTS = [f"{first} {second}" for first in _WORDS[:8] for second in _WORDS[8:]]
CLEAN = {f"I want {word}": f"i want {word}" for word in _WORDS[:8]}


def interactions() -> Interactions:
    """Four items for each of 40 users, all of one of eight kinds, with a text that names the kind; no times."""
    rng = np.random.default_rng(0)
    of_kind = len(_WORDS) - 8
    users = np.repeat(np.arange(_N_USERS), 4)
    items = [user % 8 * of_kind + rng.choice(of_kind, 4, replace=False) for user in range(_N_USERS)]
    texts = tuple(f"I want {_WORDS[user % 8]}" for user in users)
    return Interactions(users, tuple(f"u{user}" for user in range(_N_USERS)), np.concatenate(items), texts=texts)
