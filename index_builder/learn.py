"""What a build learns from interactions: user texts encoded, the matching fitted, and what it gained."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from index_builder.encode import cores
from index_builder.inputs import Inputs
from index_builder.progress import progress
from models.encoder import Encoder
from models.errors import DataError
from models.learnt import Learnt
from models.lexical import Lexicon
from models.text import TextRecipe
from models.training.features import Features, make_features
from models.training.fit import fit
from models.training.interactions import Interactions
from models.types import JsonValue, Matrix

_SEED = 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learnt.

    Attributes:
        learnt: The matching; None where there was nothing to learn from.
        quality: Validation figures for the manifest.
        warnings: Why nothing was learnt, where interactions were given.
    """

    learnt: Learnt | None
    quality: dict[str, JsonValue] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def learn(inputs: Inputs, embeddings: Matrix, encoder: Encoder, recipe: TextRecipe) -> Lesson:
    """Fits the matching on the interactions.

    Args:
        inputs: Catalogue and interactions.
        embeddings: Of the items, shape `(n_items, dim)`.
        encoder: The query runtime: user texts are encoded as the service will encode them.
        recipe: How user texts are cleaned.
    """
    if inputs.interactions is None:
        return Lesson(None)
    user_texts = _clean_texts(inputs.interactions, recipe)
    features = make_features(
        [item.text for item in inputs.catalogue.items],
        embeddings,
        user_texts=user_texts,
        user_embeddings=_encode_users(list(user_texts.values()), encoder, embeddings.shape[1]),
        seed=_SEED,
    )
    try:
        parts, chosen = fit(inputs.interactions, features, seed=_SEED)
    except DataError as error:
        return Lesson(None, warnings=[f"nothing is learnt, the artifact is zero-shot: {error}"])
    learnt = Learnt(parts.matching(chosen.decay, chosen.weights), parts.items.joined(), _lexicon(features))
    return Lesson(learnt, {"validation": chosen.figures})


def _clean_texts(interactions: Interactions, recipe: TextRecipe) -> dict[str, str]:
    """Returns the clean form of each distinct text; texts that say nothing are left out."""
    cleaned = {text: recipe.clean(text) for text in dict.fromkeys(interactions.texts or ()) if text}
    return {text: clean for text, clean in cleaned.items() if clean}


def _encode_users(texts: list[str], encoder: Encoder, dim: int) -> Matrix:
    vectors = np.empty((len(texts), dim), np.float32)
    with progress("encoding user texts", len(texts)) as advance, ThreadPoolExecutor(cores()) as pool:
        for row, (vector, _) in enumerate(pool.map(encoder.encode_user, texts)):
            vectors[row] = vector
            advance(1)
    return vectors


def _lexicon(features: Features) -> Lexicon:
    return features.lexical.lexicon if features.lexical else Lexicon({}, np.empty((0, 0), np.float32))
