"""What users wrote, cleaned and encoded, by the reference runtime; what the parent encoded is reused."""

from collections.abc import Sequence

import numpy as np

from index_builder.progress import progress
from models.artifact import Artifact
from models.artifact_writer import text_hashes
from models.encoder import Encoder
from models.learnt import UserTexts, load_user_texts
from models.text import TextRecipe
from models.training.interactions import Interactions
from models.types import Vector


def clean_texts(interactions: Interactions, recipe: TextRecipe) -> dict[str, str]:
    """Returns the clean form of each distinct text; texts that say nothing are left out."""
    cleaned = {text: recipe.clean(text) for text in dict.fromkeys(interactions.texts or ()) if text}
    return {text: clean for text, clean in cleaned.items() if clean}


def encode_users(texts: Sequence[str], encoder: Encoder, dim: int, *, parent: Artifact | None) -> tuple[UserTexts, int]:
    """Returns the embeddings of clean texts, and how many had to be encoded.

    Args:
        texts: Clean.
        encoder: The query runtime.
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
