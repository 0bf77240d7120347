"""Small made-up worlds with a known structure."""

import numpy as np

from models.training.encodings import Encodings, encodings_of
from models.training.interactions import Interactions
from models.types import Matrix


def unit(vectors: np.ndarray) -> Matrix:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class World:
    """Users keep to one of a few themes and write its word; item texts have it too, embeddings know half of it.

    Args:
        clock: Whether times are real; else positions.
        shuffled: Whether which items users consume has nothing to do with them; popularity stays.
        ordered: Whether there are times at all.
    """

    def __init__(
        self,
        *,
        n_themes: int = 5,
        per_theme: int = 16,
        n_users: int = 150,
        per_user: int = 7,
        clock: bool = True,
        ordered: bool = True,
        shuffled: bool = False,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.n_items = n_themes * per_theme
        themes = rng.integers(0, n_themes, n_users)
        # Items of a theme are consumed by falling popularity.
        chances = 1 / np.arange(2, per_theme + 2)
        chances /= chances.sum()
        items = np.concatenate(
            [theme * per_theme + rng.choice(per_theme, per_user, replace=False, p=chances) for theme in themes]
        )
        if shuffled:
            items = _dealt_again(items, per_user, rng)
        users = np.repeat(np.arange(n_users), per_user)
        steps = np.tile(np.arange(per_user, dtype=np.float64), n_users)
        times = np.repeat(rng.integers(0, 5_000, n_users), per_user) + 700 * steps if clock else steps
        # Every event has a text of its own, so that none can stand for all.
        texts = tuple(f"said {row} word{themes[user]}" for row, user in enumerate(users))
        self.interactions = Interactions(
            users=users,
            user_ids=tuple(f"u{user}" for user in range(n_users)),
            items=items,
            times=times if ordered else None,
            texts=texts,
        )
        self.item_times = np.arange(self.n_items, dtype=np.float64)
        self.item_texts = [f"item {row} word{row // per_theme}" for row in range(self.n_items)]
        self.user_texts = {text: text for text in texts}
        centres = rng.standard_normal((n_themes, 16))
        embeddings = unit(centres[np.arange(self.n_items) // per_theme] + rng.standard_normal((self.n_items, 16)))
        written = unit(centres[themes[users]] + rng.standard_normal((len(texts), 16)))
        self.encodings: Encodings = encodings_of(embeddings, self.user_texts, written)


def _dealt_again(items: np.ndarray, per_user: int, rng: np.random.Generator) -> np.ndarray:
    """Returns lists of distinct items for users, drawn by how popular the items were."""
    rows, counts = np.unique(items, return_counts=True)
    chances = counts / counts.sum()
    drawn = [rng.choice(rows, per_user, replace=False, p=chances) for _ in range(len(items) // per_user)]
    return np.concatenate(drawn)
