"""The build, top to bottom: read → encode → index → write → verify → publish → activate. It never gates."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from stop_words import StopWordError, get_stop_words

from index_builder.config import BuildConfig, CatalogueConfig, IndexConfig, TextConfig
from index_builder.encode import Encoded, EncoderPreparer, cores, encode_items, prepare_encoder
from index_builder.inputs import Inputs, read_inputs
from index_builder.learn import Lesson, learn
from index_builder.report import BuildReport, Stopwatch
from index_builder.verify import measure_ann_recall, verify_artifact
from models.artifact import ENCODER, Artifact, ArtifactContents, write_artifact
from models.artifact_store import ArtifactStore
from models.encoder import EncoderFacts, EncoderLoader, load_encoder
from models.errors import ArtifactError, BuildLockedError, ConfigError
from models.item_index import ItemIndex, build_index
from models.manifest import Manifest, Probe
from models.relation_head import cosine_head
from models.text import TextRecipe
from models.types import JsonValue, Matrix

PROBE_TEXT = "a canary that sings the same song for every build"
# Another CPU's float32 differs in the last digits; another encoder, prompt or pooling by far more.
_PROBE_MIN_COSINE = 0.999


def build(
    config: BuildConfig, *, prepare: EncoderPreparer = prepare_encoder, load: EncoderLoader = load_encoder
) -> BuildReport:
    """Builds an artifact from a catalogue, publishes it and makes it the live one.

    Args:
        config: What to build, and from what.
        prepare: Puts the encoder's files into the artifact; tests put their own.
        load: Loads the encoder's query runtime.

    Raises:
        RecallError: It could not be built; the live artifact is untouched.
    """
    store = ArtifactStore(config.publish.artifacts)
    with builder_lock(store.root):
        store.clean()
        return _Build(config, store, prepare, load).run()


@contextmanager
def builder_lock(root: Path) -> Iterator[None]:
    """Keeps two builders of one artifacts folder apart; the system frees the lock of a killed one.

    Raises:
        BuildLockedError: Another one is at work.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".lock", timeout=0):
            yield
    except Timeout:
        raise BuildLockedError(f"another builder is at work in {root}; wait for it to end") from None


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


def open_parent(store: ArtifactStore) -> tuple[Artifact | None, list[str]]:
    """Returns the live artifact, whose work is reused, and a warning where it is too damaged for that."""
    if store.current_id() is None:
        return None, []
    try:
        return store.open(), []
    except ArtifactError as error:
        return None, [f"the live artifact can't be reused: {error}"]


class _Build:
    def __init__(
        self, config: BuildConfig, store: ArtifactStore, prepare: EncoderPreparer, load: EncoderLoader
    ) -> None:
        self.config, self.store = config, store
        self.prepare, self.load = prepare, load
        self.watch = Stopwatch()
        self.recipe = text_recipe(config.text)
        self.parent, self.warnings = open_parent(store)

    def run(self) -> BuildReport:
        with self.watch.stage("read"):
            inputs = read_inputs(self.config, self.recipe, rejects=self.store.root / "rejects")
        self.warnings += inputs.warnings
        texts = [item.text for item in inputs.catalogue.items]
        with self.store.staging() as folder:
            with self.watch.stage("encoder"):
                facts, load = self.prepare(self.config.encoder, self.recipe, folder, texts=texts, parent=self.parent)
            with self.watch.stage("encode"):
                encoded = encode_items(texts, facts, load=load, parent=self.parent)
            with self.watch.stage("learn"):
                lesson = Lesson(None)
                if self.config.learning.enabled:
                    served = self.load(folder / ENCODER, facts, cores())
                    lesson = learn(inputs, encoded.embeddings, served, self.recipe, parent=self._same_space(facts))
            self.warnings += lesson.warnings
            with self.watch.stage("index"):
                vectors = encoded.embeddings if lesson.learnt is None else lesson.learnt.item_vectors
                index, params = _index(vectors, self.config.index)
                quality: dict[str, JsonValue] = {"ann_recall@100": measure_ann_recall(index, vectors), **lesson.quality}
            with self.watch.stage("write"):
                contents = _contents(
                    self.config.catalogue,
                    inputs,
                    encoded.embeddings,
                    index=index,
                    params=params,
                    lesson=lesson,
                )
                manifest = write_artifact(
                    folder,
                    contents,
                    recipe=self.recipe,
                    encoder=facts,
                    probe=self._probe(folder, facts),
                    quality=quality,
                    parent=self.parent,
                )
            with self.watch.stage("verify"):
                verify_artifact(folder, load=self.load)
            with self.watch.stage("publish"):
                self.store.publish(folder, manifest)
                self.store.activate(manifest.artifact_id)
        return self._report(manifest, inputs, encoded=encoded, lesson=lesson)

    def _same_space(self, facts: EncoderFacts) -> Artifact | None:
        """Returns the live artifact if its vectors are of the same space."""
        same = self.parent is not None and self.parent.manifest.encoder.fingerprint == facts.fingerprint
        return self.parent if same else None

    def _probe(self, folder: Path, facts: EncoderFacts) -> Probe:
        """Returns the canary's vector by the runtime that will serve, which may not be the one that encodes items."""
        vector, _ = self.load(folder / ENCODER, facts, 1).encode_user(self.recipe.clean(PROBE_TEXT))
        return Probe(text=PROBE_TEXT, vector=tuple(vector.tolist()), min_cosine=_PROBE_MIN_COSINE)

    def _report(self, manifest: Manifest, inputs: Inputs, *, encoded: Encoded, lesson: Lesson) -> BuildReport:
        return BuildReport(
            artifact_id=manifest.artifact_id,
            artifacts=str(self.store.root),
            n_items=manifest.index.n_items,
            n_rows=inputs.catalogue.n_rows,
            n_encoded=encoded.n_encoded,
            n_reused=encoded.n_reused,
            user_texts={"n_encoded": lesson.n_encoded, "n_reused": lesson.n_reused},
            index={"kind": manifest.index.kind, **manifest.index.params},
            interactions=inputs.counts,
            quality=manifest.quality,
            rejects=inputs.rejects,
            warnings=self.warnings,
            seconds=self.watch.seconds,
        )


def _index(vectors: Matrix, config: IndexConfig) -> tuple[ItemIndex, dict[str, int]]:
    flat = config.kind == "flat" or (config.kind == "auto" and len(vectors) <= config.exact_up_to)
    if flat:
        return build_index(vectors, "flat", params={}), {}
    params = {
        "m": config.hnsw_m,
        "ef_construction": config.hnsw_ef_construction,
        "ef_search": config.hnsw_ef_search,
    }
    return build_index(vectors, "hnsw", params=params), params


def _contents(
    config: CatalogueConfig,
    inputs: Inputs,
    embeddings: Matrix,
    index: ItemIndex,
    params: dict[str, int],
    lesson: Lesson,
) -> ArtifactContents:
    n_items = len(embeddings)
    popularity = np.zeros(n_items, np.float32)
    if inputs.interactions is not None:
        popularity = inputs.interactions.popularity(n_items)
    return ArtifactContents(
        items=inputs.catalogue.items,
        item_fields=tuple(dict.fromkeys([*config.text, *config.attributes])),
        embeddings=embeddings,
        popularity=popularity,
        index=index,
        index_params=params,
        learnt=lesson.learnt,
        user_texts=lesson.user_texts,
        head=cosine_head(index.dim, n_items),
        head_trained=False,
    )
