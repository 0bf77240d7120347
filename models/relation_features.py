"""What the relation head sees of a user and a candidate: scores by part, and likeness to each thing the user knows.

One definition, for fitting and serving. The attention of the candidate over texts and history is by maximum, by the
newest, and by a mean that fades with age. What stands first in the pool counts as a little of a history, too: a text
that asks for several things finds those that are consumed together. And users who wrote alike say what such people
consume. Numpy only.
"""

import numpy as np

from models.fused import Asked, Tokens
from models.neighbours import Places
from models.types import Matrix, Rows, Vector

# New ones come last: a head that was fitted before knows the first.
FEATURES = (
    "recall score",
    "zero-shot",
    "behaviour",
    "tower",
    "popularity",
    "history: meaning, nearest",
    "history: meaning, newest",
    "history: meaning, faded",
    "history: behaviour, nearest",
    "history: behaviour, newest",
    "history: tower, nearest",
    "history: tower, newest",
    "history: consumed together, nearest",
    "history: consumed together, newest",
    "history: consumed together, faded",
    "texts: meaning, nearest",
    "texts: tower, nearest",
    "first of the pool: consumed together, nearest",
    "first of the pool: consumed together, mean",
    "length of the history",
    "words of the texts",
    "users who wrote alike: share of the hundred nearest",
    "users who wrote alike: share of the fifty nearest",
)
N_FEATURES = len(FEATURES)
NEWEST = 10
_FADE = 0.8
_FIRST = 10
# Behaviour scores are heavy-tailed: most are near 0, a neighbour's is a hundred times larger.
_STRETCH = 50.0
_TOGETHER_STRETCH = 5.0
_ALIKE_STRETCH = 1000.0


def relation_features(asked: Asked, items: Matrix, *, rows: Rows, scores: Vector) -> Matrix:
    """Returns the features of each candidate, shape `(n, N_FEATURES)`.

    Args:
        asked: The user.
        items: Vectors of the catalogue, shape `(n_items, D)`.
        rows: The candidates, best first, shape `(n,)`.
        scores: Their recall scores, shape `(n,)`.
    """
    tokens, parts = asked.tokens, asked.parts
    d0, d1, d2 = (part.shape[1] for part in (parts.zero_shot, parts.behaviour, parts.tower))
    # Each part by itself: the behaviour part is half of a vector, and nobody asks for it without a history.
    zero_shot, tower = items[:, :d0][rows], items[:, d0 + d1 : d0 + d1 + d2][rows]
    found = np.zeros((N_FEATURES, len(rows)), np.float32)  # a feature is written at once
    places = Places(rows, len(items))
    found[0] = scores
    found[1] = zero_shot @ parts.zero_shot[0]
    found[3] = tower @ parts.tower[0]
    found[4] = items[:, -1][rows]
    newest = slice(-NEWEST, None)
    alone = len(tokens.texts[0]) == 1 and not len(tokens.weights)
    if len(tokens.weights):  # who consumed nothing has no behaviour either
        behaviour = items[:, d0 : d0 + d1][rows]
        found[2] = _compress(behaviour @ parts.behaviour[0], 1.0)
        _by_history(found[5:12], tokens, zero_shot, behaviour, tower)
        near = asked.neighbours.between(tokens.rows[newest], places)
        fade = _fade(len(near))
        found[12], found[13] = (fade[:, None] * near).max(axis=0), near[-1]
        found[14] = _compress(fade @ near, _TOGETHER_STRETCH)
    if len(tokens.texts[0]):
        found[15] = _nearest_text(tokens.texts[0][newest], parts.zero_shot[0], found[1], zero_shot, alone=alone)
        found[16] = (tokens.texts[1][newest] @ tower.T).max(axis=0)
    found[17], found[18] = _beside_the_first(asked.neighbours.between(rows[:_FIRST], places), scores)
    found[19] = np.log1p(len(tokens.weights))
    found[20] = np.log1p(tokens.n_words)
    found[21:23] = np.log1p(_ALIKE_STRETCH * asked.alike.shares(places))
    return found.T


def _by_history(found: Matrix, tokens: Tokens, zero_shot: Matrix, behaviour: Matrix, tower: Matrix) -> None:
    newest = slice(-NEWEST, None)
    meaning = tokens.items[0][newest] @ zero_shot.T
    fade = _fade(len(meaning))
    together = tokens.items[1][newest] @ behaviour.T
    related = tokens.items[2][newest] @ tower.T
    found[0], found[1], found[2] = meaning.max(axis=0), meaning[-1], fade @ meaning / fade.sum()
    found[3:5] = _compress(np.stack([together.max(axis=0), together[-1]]), _STRETCH)
    found[5], found[6] = related.max(axis=0), related[-1]


def _nearest_text(texts: Matrix, part: Vector, by_part: Vector, zero_shot: Matrix, *, alone: bool) -> Vector:
    """Returns the largest inner product of any text with each candidate.

    Args:
        texts: Zero-shot parts, shape `(t, d₀)`.
        part: That of the user, shape `(d₀,)`.
        by_part: Its inner products with the candidates, shape `(n,)`.
        zero_shot: Those of the candidates, shape `(n, d₀)`.
        alone: The user is known by one text and nothing else: the part is that text, scaled.
    """
    if alone and part.any():
        scaled: Vector = by_part * np.float32((texts[0] @ part) / (part @ part))
        return scaled
    nearest: Vector = (texts @ zero_shot.T).max(axis=0)
    return nearest


def _beside_the_first(near: Matrix, scores: Vector) -> tuple[Vector, Vector]:
    """Returns the largest and the mean likeness to the first of the pool, each by its share of their softmax.

    Args:
        near: How often each of them is consumed together with each candidate, shape `(f, n)`.
        scores: Of the candidates, shape `(n,)`.
    """
    first = scores[:_FIRST]
    shares = np.exp(first - first.max(initial=0)) if len(first) else first
    shares = shares / max(float(shares.sum()), 1e-12)
    near = shares[:, None] * near
    return _FIRST * near.max(axis=0, initial=0), near.sum(axis=0)


def _fade(n: int) -> Vector:
    """Returns the weight of each of the newest, oldest first, shape `(n,)`."""
    fade: Vector = (_FADE ** np.arange(n - 1, -1, -1)).astype(np.float32)
    return fade


def _compress(values: Matrix, stretch: float) -> Matrix:
    compressed: Matrix = np.sign(values) * np.log1p(stretch * np.abs(values))
    return compressed
