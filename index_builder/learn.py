"""What a build learns from interactions: user texts encoded, the matching fitted, and what it gained."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from index_builder.config import BuildConfig
from index_builder.encode import torch_device
from index_builder.inputs import Inputs
from index_builder.progress import say_learning
from index_builder.user_texts import clean_texts, encode_users, texts_read
from models.artifact import Artifact
from models.encoder import Encoder
from models.errors import DataError
from models.learnt import Learnt, UserTexts
from models.relation_head import FeatureHead
from models.text import TextRecipe
from models.training.features import EncodedTexts, make_features
from models.training.fit import fit, learnt_of
from models.training.freshness import clock_problem
from models.training.interactions import Interactions
from models.training.split import split
from models.types import JsonValue, Matrix

_SEED = 0
_FIRST_WORDS = 12
_LEAST_WORDS = 4
_QUERIES = 1_000


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learnt.

    Attributes:
        learnt: The matching; None where there was nothing to learn from.
        head: What re-scores the pool; None where nothing better than the pool's own order was learnt.
        quality: Validation figures for the manifest.
        warnings: Why nothing was learnt, where interactions were given.
        user_texts: Embeddings for the next build.
        n_encoded: User texts that the encoder read now.
        n_reused: User texts whose embedding was there already.
    """

    learnt: Learnt | None
    head: FeatureHead | None = None
    quality: dict[str, JsonValue] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    user_texts: UserTexts | None = None
    n_encoded: int = 0
    n_reused: int = 0


def learn(
    inputs: Inputs,
    embeddings: Matrix,
    encoder: Encoder,
    recipe: TextRecipe,
    *,
    config: BuildConfig,
    parent: Artifact | None,
) -> Lesson:
    """Fits the matching on the interactions.

    Args:
        inputs: Catalogue and interactions.
        embeddings: Of the items, shape `(n_items, dim)`.
        encoder: Reads user texts.
        recipe: How user texts are cleaned.
        config: How to learn, and where.
        parent: The live artifact, if its vectors are of the same space.
    """
    if inputs.interactions is None:
        return Lesson(None)
    item_texts = [item.text for item in inputs.catalogue.items]
    warnings = _unread(inputs.interactions)
    clean = _texts_to_learn_from(inputs.interactions, recipe, all_are_read=not warnings)
    own, queries = first_words(item_texts), some_words(item_texts)
    every = [*clean.values(), *own, *queries]
    user_texts, n_encoded = encode_users(every, encoder, embeddings.shape[1], parent=parent)
    texts = EncodedTexts(clean, user_texts.embeddings, own, queries)
    times = inputs.item_times
    if times is not None and (problem := clock_problem(times, inputs.interactions)):
        warnings.append(f"nothing is learnt from the age of items: {problem}")
    features = make_features(item_texts, embeddings, texts, item_times=times, seed=_SEED)
    try:
        device = "cuda" if torch_device(config.encoder.device) == "cuda" else "cpu"
        popularity = config.learning.popularity
        parts, chosen = fit(
            inputs.interactions, features, popularity=popularity, device=device, seed=_SEED, say=say_learning
        )
    except DataError as error:
        return Lesson(None, warnings=[*warnings, f"nothing is learnt, the artifact is zero-shot: {error}"])
    return Lesson(
        learnt=learnt_of(parts, chosen, features),
        head=chosen.head,
        quality={"validation": chosen.figures},
        user_texts=user_texts,
        n_encoded=n_encoded,
        n_reused=len(every) - n_encoded,
        warnings=warnings,
    )


def _texts_to_learn_from(interactions: Interactions, recipe: TextRecipe, *, all_are_read: bool) -> dict[str, str]:
    """Returns the clean form of each text that is read.

    Where not all are, the newest of what came before the validation's cases are, too: the newest of all are those that
    the cases mustn't see.
    """
    clean = clean_texts(interactions, recipe)
    if all_are_read:
        return clean
    try:
        return clean | clean_texts(split(interactions, seed=_SEED).past, recipe)
    except DataError:  # `fit` says so
        return clean


def _unread(interactions: Interactions) -> list[str]:
    """Returns a warning where users wrote more than is read."""
    n_written, n_read = len(set(interactions.texts or ()) - {None, ""}), len(texts_read(interactions))
    if n_read == n_written:
        return []
    return [
        f"of {n_written} texts that users wrote {n_read} are learnt from, each user's newest first: all would take long"
    ]


def first_words(texts: Sequence[str]) -> list[str]:
    """Returns the start of each clean text: what a person in a hurry would write for it."""
    return [" ".join(text.split()[:_FIRST_WORDS]) for text in texts]


def some_words(texts: Sequence[str]) -> dict[str, int]:
    """Returns a few words of some texts, with the text's row: what a person might ask for.

    They come after the first words, so that what is learnt from those is judged by others.
    """
    rng = np.random.default_rng(_SEED)
    found: dict[str, int] = {}
    for row in rng.permutation(len(texts)).tolist():
        words, length = texts[row].split(), int(rng.integers(_LEAST_WORDS, _FIRST_WORDS + 1))
        if (latest := len(words) - length) < _FIRST_WORDS:
            continue
        start = int(rng.integers(_FIRST_WORDS, latest + 1))
        found[" ".join(words[start : start + length])] = row
        if len(found) == _QUERIES:
            break
    return found
