"""What the relation head sees of a user and a candidate: scores by part, and likeness to each thing the user knows.

One definition, for fitting and serving. The attention of the candidate over texts and history is by maximum, by the
newest, and by a mean that fades with age. Numpy only.
"""

import numpy as np

from models.fused import Asked
from models.types import Matrix, Vector

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
    "texts: meaning, nearest",
    "texts: tower, nearest",
    "length of the history",
    "has texts",
)
N_FEATURES = len(FEATURES)
_NEWEST = 10
_FADE = 0.8
# Behaviour scores are heavy-tailed: most are near 0, a neighbour's is a hundred times larger.
_STRETCH = 50.0


def relation_features(asked: Asked, items: Matrix, *, scores: Vector) -> Matrix:
    """Returns the features of each candidate, shape `(n, N_FEATURES)`.

    Args:
        asked: The user.
        items: Vectors of the candidates, shape `(n, D)`.
        scores: Their recall scores, shape `(n,)`.
    """
    tokens, parts = asked.tokens, asked.parts
    ends = np.cumsum([part.shape[1] for part in (parts.zero_shot, parts.behaviour, parts.tower)])
    zero_shot, behaviour, tower, popularity = np.split(items, ends, axis=1)
    features = np.zeros((len(items), N_FEATURES), np.float32)
    features[:, 0] = scores
    features[:, 1] = zero_shot @ parts.zero_shot[0]
    features[:, 2] = _compress(behaviour @ parts.behaviour[0], 1.0)
    features[:, 3] = tower @ parts.tower[0]
    features[:, 4] = popularity[:, 0]
    newest = slice(-_NEWEST, None)
    if len(tokens.weights):
        meaning = tokens.items[0][newest] @ zero_shot.T
        fade = _FADE ** np.arange(len(meaning) - 1, -1, -1, dtype=np.float32)
        together = _compress(tokens.items[1][newest] @ behaviour.T, _STRETCH)
        related = tokens.items[2][newest] @ tower.T
        features[:, 5], features[:, 6], features[:, 7] = meaning.max(axis=0), meaning[-1], fade @ meaning / fade.sum()
        features[:, 8], features[:, 9] = together.max(axis=0), together[-1]
        features[:, 10], features[:, 11] = related.max(axis=0), related[-1]
    if len(tokens.texts[0]):
        features[:, 12] = (tokens.texts[0][newest] @ zero_shot.T).max(axis=0)
        features[:, 13] = (tokens.texts[1][newest] @ tower.T).max(axis=0)
    features[:, 14] = np.log1p(len(tokens.weights))
    features[:, 15] = float(len(tokens.texts[0]) > 0)
    return features


def _compress(values: Matrix, stretch: float) -> Matrix:
    compressed: Matrix = np.sign(values) * np.log1p(stretch * np.abs(values))
    return compressed
