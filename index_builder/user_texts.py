"""What users wrote, cleaned and encoded; what the parent encoded is reused."""

from collections.abc import Sequence

import numpy as np

from index_builder.progress import progress
from models.artifact import Artifact
from models.artifact_writer import text_hashes
from models.encoder import Encoder
from models.learnt import UserTexts, load_user_texts
from models.text import TextRecipe
from models.training.interactions import Interactions
from models.types import Rows, Vector

# What bounds a build's time: a core reads some 5,000 words a second.
_MOST_WORDS = 4_000_000
_READ_OF_TEXT = 200  # words; encoders cut what is longer


def clean_texts(interactions: Interactions, recipe: TextRecipe) -> dict[str, str]:
    """Returns the clean form of each distinct text that is read; texts that say nothing are left out."""
    cleaned = {text: recipe.clean(text) for text in texts_read(interactions)}
    return {text: clean for text, clean in cleaned.items() if clean}


def texts_read(interactions: Interactions, *, most_words: int = _MOST_WORDS) -> list[str]:
    """Returns the distinct texts that are read, in the table's order: all, unless they have too many words.

    Of more, each user's newest comes first, then each one's second newest, and so on; without times the table's last
    count as the newest.

    Args:
        interactions: With what users wrote.
        most_words: Of all texts together.
    """
    texts = interactions.texts or ()
    distinct = {text: min(_n_words(text), _READ_OF_TEXT) for text in dict.fromkeys(texts) if text}
    if sum(distinct.values()) <= most_words:
        return list(distinct)
    chosen: set[str] = set()
    n_words = 0
    for row in _newest_of_each(interactions).tolist():
        if (text := texts[row]) and text not in chosen:
            n_words += distinct[text]
            if n_words > most_words:
                break
            chosen.add(text)
    return [text for text in distinct if text in chosen]


def _n_words(text: str) -> int:
    """Returns about how many words a text has, whatever parts them; of scripts without blanks two signs are one."""
    return max(len(text.split()), len(text.encode()) // 6)


def _newest_of_each(interactions: Interactions) -> Rows:
    """Returns all rows: every user's newest with a text, the second newest of those who have one, and so on."""
    assert interactions.texts is not None
    rows = np.flatnonzero([bool(text) for text in interactions.texts])
    users = interactions.users[rows]
    times = rows if interactions.times is None else interactions.times[rows]
    order = np.lexsort((-rows, -times, users))
    starts = np.flatnonzero(np.append(True, np.diff(users[order]) != 0))
    places = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    newest: Rows = rows[order][np.lexsort((-times[order], places))]
    return newest


def encode_users(texts: Sequence[str], encoder: Encoder, dim: int, *, parent: Artifact | None) -> tuple[UserTexts, int]:
    """Returns the embeddings of clean texts, and how many had to be encoded.

    Args:
        texts: Clean.
        encoder: Reads them.
        dim: Dimensions of its vectors.
        parent: The live artifact, if its vectors are of the same space.
    """
    hashes = text_hashes(texts)
    known: dict[bytes, Vector] = {}
    if parent is not None and parent.learnt is not None:
        old = load_user_texts(parent.folder)
        known = {key.tobytes(): vector for key, vector in zip(old.hashes, old.embeddings, strict=True)}
    embeddings = np.empty((len(texts), dim), np.float32)
    fresh = []
    for row, key in enumerate(hashes):
        if (vector := known.get(key.tobytes())) is None:
            fresh.append(row)
        else:
            embeddings[row] = vector
    if fresh:
        with progress("encoding user texts", len(fresh)) as advance:
            embeddings[fresh] = encoder.encode_users([texts[row] for row in fresh], advance)
    return UserTexts(hashes, embeddings), len(fresh)
