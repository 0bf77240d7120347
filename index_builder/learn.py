"""What a build learns from interactions: user texts encoded, the matching fitted, and what it gained."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from index_builder.encode import cores
from index_builder.inputs import Inputs
from index_builder.progress import progress
from models.artifact import Artifact, text_hashes
from models.encoder import Encoder
from models.errors import DataError
from models.learnt import Learnt, UserTexts, load_user_texts
from models.lexical import NO_LEXICON
from models.text import TextRecipe
from models.training.features import make_features
from models.training.fit import fit
from models.training.interactions import Interactions
from models.types import JsonValue, Matrix, Vector

_SEED = 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learnt.

    Attributes:
        learnt: The matching; None where there was nothing to learn from.
        quality: Validation figures for the manifest.
        warnings: Why nothing was learnt, where interactions were given.
        user_texts: Embeddings for the next build.
        n_encoded: User texts that the encoder read now.
        n_reused: User texts whose embedding was there already.
    """

    learnt: Learnt | None
    quality: dict[str, JsonValue] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    user_texts: UserTexts | None = None
    n_encoded: int = 0
    n_reused: int = 0


def learn(
    inputs: Inputs, embeddings: Matrix, encoder: Encoder, recipe: TextRecipe, *, parent: Artifact | None
) -> Lesson:
    """Fits the matching on the interactions.

    Args:
        inputs: Catalogue and interactions.
        embeddings: Of the items, shape `(n_items, dim)`.
        encoder: The query runtime: user texts are encoded as the service will encode them.
        recipe: How user texts are cleaned.
        parent: The live artifact, if its vectors are of the same space.
    """
    if inputs.interactions is None:
        return Lesson(None)
    clean = _clean_texts(inputs.interactions, recipe)
    user_texts, n_encoded = _encode_users(list(clean.values()), encoder, embeddings.shape[1], parent=parent)
    features = make_features(
        [item.text for item in inputs.catalogue.items],
        embeddings,
        user_texts=clean,
        user_embeddings=user_texts.embeddings,
        seed=_SEED,
    )
    try:
        parts, chosen = fit(inputs.interactions, features, seed=_SEED)
    except DataError as error:
        return Lesson(None, warnings=[f"nothing is learnt, the artifact is zero-shot: {error}"])
    return Lesson(
        learnt=Learnt(
            parts.matching(chosen.decay, chosen.weights), parts.items.joined(), features.lexicon or NO_LEXICON
        ),
        quality={"validation": chosen.figures},
        user_texts=user_texts,
        n_encoded=n_encoded,
        n_reused=len(clean) - n_encoded,
    )


def _clean_texts(interactions: Interactions, recipe: TextRecipe) -> dict[str, str]:
    """Returns the clean form of each distinct text; texts that say nothing are left out."""
    cleaned = {text: recipe.clean(text) for text in dict.fromkeys(interactions.texts or ()) if text}
    return {text: clean for text, clean in cleaned.items() if clean}


def _encode_users(texts: list[str], encoder: Encoder, dim: int, *, parent: Artifact | None) -> tuple[UserTexts, int]:
    """Returns the texts' embeddings, and how many had to be encoded; one text a time, as the service does it."""
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
    with progress("encoding user texts", len(fresh)) as advance, ThreadPoolExecutor(cores()) as pool:
        encoded = pool.map(encoder.encode_user, (texts[row] for row in fresh))
        for row, (vector, _) in zip(fresh, encoded, strict=True):
            embeddings[row] = vector
            advance(1)
    return UserTexts(hashes, embeddings), len(fresh)
