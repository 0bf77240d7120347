"""What goes into an artifact beside the encoder's files: recipe, probe and contents, each from its section."""

import numpy as np
from stop_words import StopWordError, get_stop_words

from index_builder.config import CatalogueConfig, TextConfig
from index_builder.inputs import Inputs
from index_builder.known_pairs import sample_pairs
from index_builder.learn import Lesson
from models.artifact_writer import ArtifactContents
from models.encoder import Encoder
from models.errors import ConfigError
from models.item_index import ItemIndex
from models.manifest import InputFacts, Probe
from models.relation_head import cosine_head
from models.text import TextRecipe
from models.types import Matrix

PROBE_TEXT = "a canary that sings the same song for every build"
# Another CPU's float32 differs in the last digits; another encoder, prompt or pooling by far more.
_PROBE_MIN_COSINE = 0.999


def text_recipe(config: TextConfig) -> TextRecipe:
    """Returns the recipe that these switches name.

    Raises:
        ConfigError: There is no stop-word list for the language.
    """
    words: tuple[str, ...] = ()
    if config.stop_words is not None:
        try:
            words = tuple(sorted(get_stop_words(config.stop_words)))
        except StopWordError as error:
            raise ConfigError(f'text.stop_words is "{config.stop_words}": {error}; give a code such as "en"') from None
    return TextRecipe(strip_punctuation=config.strip_punctuation, stop_words=words)


def probe_of(encoder: Encoder, recipe: TextRecipe) -> Probe:
    """Returns the canary's vector.

    Args:
        encoder: The reference among those that may serve, which may not be what encodes items.
        recipe: How texts are cleaned.
    """
    vector, _ = encoder.encode_user(recipe.clean(PROBE_TEXT))
    return Probe(text=PROBE_TEXT, vector=tuple(vector.tolist()), min_cosine=_PROBE_MIN_COSINE)


def contents_of(
    config: CatalogueConfig,
    inputs: Inputs,
    embeddings: Matrix,
    index: ItemIndex,
    params: dict[str, int],
    lesson: Lesson,
    facts: InputFacts | None = None,
) -> ArtifactContents:
    """Returns what goes into the artifact, beside the encoder's files."""
    n_items = len(embeddings)
    popularity, pairs = np.zeros(n_items, np.float32), None
    if inputs.interactions is not None:
        popularity = inputs.interactions.popularity(n_items)
        pairs = sample_pairs(inputs.interactions)
    return ArtifactContents(
        items=inputs.catalogue.items,
        item_fields=config.fields,
        text_fields=tuple(config.text),
        live_seq=inputs.live_seq,
        embeddings=embeddings,
        popularity=popularity,
        index=index,
        index_params=params,
        learnt=lesson.learnt,
        user_texts=lesson.user_texts,
        head=lesson.head or cosine_head(index.dim, n_items),
        head_trained=lesson.head is not None,
        inputs=facts,
        known_pairs=pairs,
    )
