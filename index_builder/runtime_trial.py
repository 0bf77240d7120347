"""What query runtimes are tried on: held-out texts, what their writers consumed, and the candidates of a vector."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from index_builder.inputs import Inputs
from models.fused import KnownUser
from models.item_index import ItemIndex
from models.learnt import Learnt
from models.text import TextRecipe
from models.types import Matrix, Rows

K = 100
_MAX_USER_TEXTS = 200
_MAX_PIECES = 100
_MAX_CALIBRATION = 50  # of each side
_PIECE_WORDS = (4, 30)
_NO_ROWS = np.empty(0, np.int64)
_NO_WEIGHTS = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Texts and what is made of their vectors.

    Attributes:
        texts: Clean, t of them; none is in `calibration`.
        relevant: Of each text, the rows that its writer consumed; empty where nobody knows.
        calibration: Clean texts of users and items, for what has to see some.
        rank: From the texts' embeddings, shape `(t, dim)`, to the rows of each one's candidates, shape `(t, k)`.
    """

    texts: Sequence[str]
    relevant: Sequence[Rows]
    calibration: Sequence[str]
    rank: Callable[[Matrix], Rows]


def make_trial(inputs: Inputs, recipe: TextRecipe, index: ItemIndex, learnt: Learnt | None, *, seed: int = 0) -> Trial:
    """Draws the texts: what users wrote, where that is known, and pieces of item texts.

    Args:
        inputs: Catalogue and interactions.
        recipe: How user texts are cleaned.
        index: Over the item vectors.
        learnt: The matching, if one was learnt; else a text's embedding is the user vector.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    consumed = _consumed(inputs, recipe)
    written = _shuffled(sorted(consumed), rng)
    item_texts = _shuffled([item.text for item in inputs.catalogue.items if item.text], rng)
    n_users = min(_MAX_USER_TEXTS, len(written) // 2)
    n_items = min(_MAX_PIECES, (len(item_texts) + 1) // 2)
    users, pieces = written[:n_users], [_piece(text, rng) for text in item_texts[:n_items]]
    calibration = [
        *islice(written, n_users, n_users + _MAX_CALIBRATION),
        *islice(item_texts, n_items, n_items + _MAX_CALIBRATION),
    ]
    texts = [*users, *pieces]
    return Trial(
        texts=texts,
        relevant=[np.array(sorted(consumed[text]), np.int64) for text in users] + [_NO_ROWS] * len(pieces),
        calibration=calibration or texts,
        rank=_ranker(texts, index, learnt),
    )


def _consumed(inputs: Inputs, recipe: TextRecipe) -> dict[str, set[int]]:
    """Returns by clean text what its writers consumed."""
    interactions = inputs.interactions
    by_text: defaultdict[str, set[int]] = defaultdict(set)
    if interactions is None or interactions.texts is None:
        return by_text
    clean = {text: recipe.clean(text) for text in dict.fromkeys(interactions.texts) if text}
    for text, row in zip(interactions.texts, interactions.items.tolist(), strict=True):
        if text and clean[text]:
            by_text[clean[text]].add(row)
    return by_text


def _shuffled(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [texts[number] for number in rng.permutation(len(texts))]


def _piece(text: str, rng: np.random.Generator) -> str:
    words = text.split()
    length = int(rng.integers(*_PIECE_WORDS))
    start = int(rng.integers(max(1, len(words) - length + 1)))
    return " ".join(words[start : start + length])


def _ranker(texts: Sequence[str], index: ItemIndex, learnt: Learnt | None) -> Callable[[Matrix], Rows]:
    k = max(1, min(K, len(index) // 10))  # of a small catalogue any runtime finds the most

    def rank(embeddings: Matrix) -> Rows:
        users = embeddings
        if learnt is not None:
            known = learnt.lexicon.beside(embeddings, texts)
            made = [learnt.matching.ask(KnownUser(text[None], _NO_ROWS, _NO_WEIGHTS)) for text in known]
            users = np.stack([np.zeros(index.dim, np.float32) if asked is None else asked.vector for asked in made])
        return np.stack([index.search(user, k)[0] for user in users])

    return rank
