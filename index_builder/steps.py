"""The steps that `build` and `nightly` go through, each measured. What is gated, and when, is theirs to say."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from index_builder.choose_index import ann_queries, index_of
from index_builder.config import BuildConfig
from index_builder.contents import contents_of, probe_of, text_recipe
from index_builder.encode import Encoded, EncoderPreparer, encode_items
from index_builder.encoded_chunks import EncodedChunks
from index_builder.finetune import finetuned
from index_builder.input_facts import input_facts
from index_builder.inputs import Inputs, read_inputs
from index_builder.learn import Lesson, learn
from index_builder.live_rows import trim_live_rows
from index_builder.remembering import Remembering
from index_builder.report import BuildReport, Stopwatch
from index_builder.runtime_trial import make_trial
from index_builder.tune_runtime import choose_runtime
from index_builder.verify import verify_artifact
from models.artifact import ENCODER, Artifact
from models.artifact_store import ArtifactStore
from models.artifact_writer import write_artifact
from models.encoder import Encoder, EncoderFacts, EncoderLoader
from models.errors import ArtifactError
from models.item_index import ItemIndex
from models.manifest import InputFacts, Manifest
from models.types import JsonValue


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What was learnt from some interactions, and the index over the item vectors that came of it.

    Attributes:
        lesson: What was learnt.
        index: Over the item vectors.
        params: What it was built with.
        ann_recall: ann_recall@100 of the index.
    """

    lesson: Lesson
    index: ItemIndex
    params: dict[str, int]
    ann_recall: float


def open_parent(store: ArtifactStore) -> tuple[Artifact | None, list[str]]:
    """Returns the live artifact, whose work is reused, and a warning where it is too damaged for that."""
    if store.current_id() is None:
        return None, []
    try:
        return store.open(), []
    except ArtifactError as error:
        return None, [f"the live artifact can't be reused: {error}"]


class Steps:
    """One run over one artifacts folder; call it under the builder's lock.

    Args:
        config: What to build, and from what.
        store: The artifacts folder.
        prepare: Puts the encoder's files into the artifact.
        load: Loads the encoder's query runtime.
        watch: Measures each step.
    """

    def __init__(
        self,
        config: BuildConfig,
        store: ArtifactStore,
        *,
        prepare: EncoderPreparer,
        load: EncoderLoader,
        watch: Stopwatch,
    ) -> None:
        self.config, self.store, self.watch = config, store, watch
        self.load = load
        self._prepare = prepare
        self.recipe = text_recipe(config.text)
        self.parent, self.warnings = open_parent(store)

    def read(self) -> Inputs:
        """Returns the catalogue and the interactions."""
        with self.watch.stage("read") as counts:
            since = self.parent.manifest.live_seq if self.parent else 0
            inputs = read_inputs(self.config, self.recipe, rejects=self.store.root / "rejects", live_since=since)
            counts["items"] = len(inputs.catalogue.items)
            counts["interactions"] = 0 if inputs.interactions is None else len(inputs.interactions)
        self.warnings += inputs.warnings
        return inputs

    def prepare(self, folder: Path, inputs: Inputs, *, keep_live: bool = False) -> "Work":
        """Puts the encoder's files into a staged artifact, fine-tuned where that is asked for.

        Args:
            folder: The staged artifact.
            inputs: As read.
            keep_live: Stay with the live artifact's fine-tuned encoder.
        """
        with self.watch.stage("encoder") as counts:
            encoder = finetuned(
                self.config.encoder, self.recipe, inputs, self.store.root, live=self.parent, keep_live=keep_live
            )
            counts |= encoder.counts
            facts, load = self._prepare(
                encoder.config,
                self.recipe,
                folder,
                texts=[item.text for item in inputs.catalogue.items],
                parent=self.parent,
            )
        self.warnings += encoder.warnings
        made_from = input_facts(inputs, self.config, facts)
        return Work(self, folder, inputs, facts=facts, load_encoder=load, made_from=made_from)


class Work:
    """A staged artifact on its way, from the encoder's files to `current`.

    Args:
        steps: The run.
        folder: The staged directory.
        inputs: As read.
        facts: The encoder's description.
        load_encoder: Loads what encodes items and user texts.
        made_from: What the manifest says of the inputs.
    """

    def __init__(
        self,
        steps: Steps,
        folder: Path,
        inputs: Inputs,
        *,
        facts: EncoderFacts,
        load_encoder: Callable[[], Encoder],
        made_from: InputFacts,
    ) -> None:
        self._steps, self._folder, self.inputs = steps, folder, inputs
        self.facts, self._encoder, self.made_from = facts, cache(load_encoder), made_from

    @cached_property
    def encoded(self) -> Encoded:
        """The items' embeddings; reused where text and encoder are the live artifact's."""
        with self._steps.watch.stage("encode") as counts:
            chunks = EncodedChunks(self._steps.store.root, self.facts.fingerprint)
            texts = [item.text for item in self.inputs.catalogue.items]
            found = encode_items(texts, self.facts, load=self._encoder, parent=self._steps.parent, chunks=chunks)
            counts |= {"encoded": found.n_encoded, "reused": found.n_reused}
        return found

    @cached_property
    def reader(self) -> Encoder:
        """What reads user texts, each once."""
        return Remembering(self._encoder())

    def fit(self, inputs: Inputs, *, name: str = "learn") -> Fitted:
        """Learns from interactions and builds the index.

        Args:
            inputs: This catalogue, with all the interactions or those of the past.
            name: Of the stage.
        """
        config, embeddings = self._steps.config, self.encoded.embeddings
        with self._steps.watch.stage(name) as counts:
            lesson = Lesson(None)
            if config.learning.enabled:
                parent = self._same_space()
                lesson = learn(inputs, embeddings, self.reader, self._steps.recipe, config=config, parent=parent)
            counts["user_texts_encoded"] = lesson.n_encoded
        with self._steps.watch.stage("index"):
            vectors = embeddings if lesson.learnt is None else lesson.learnt.item_vectors
            queries = ann_queries(inputs, lesson, self._steps.recipe, vectors)
            chosen = index_of(vectors, config.index, queries)
        return Fitted(lesson, chosen.index, chosen.params, chosen.ann_recall)

    def write(self, folder: Path, inputs: Inputs, fitted: Fitted, quality: dict[str, JsonValue]) -> Manifest:
        """Writes what was fitted into a directory.

        Args:
            folder: The staged artifact, or another one to try it in.
            inputs: What it was fitted on.
            fitted: What is written.
            quality: What was measured.
        """
        return write_artifact(
            folder,
            contents_of(
                self._steps.config.catalogue,
                inputs,
                self.encoded.embeddings,
                index=fitted.index,
                params=fitted.params,
                lesson=fitted.lesson,
                facts=self.made_from,
            ),
            recipe=self._steps.recipe,
            encoder=self.facts,
            probe=probe_of(
                self._steps.load(self._folder / ENCODER, self.facts.run_by(self.facts.reference), 1),
                self._steps.recipe,
            ),
            quality=quality,
            parent=self._steps.parent,
        )

    def publish(self, fitted: Fitted, gate: JsonValue = None) -> BuildReport:
        """Chooses the query runtime, writes, verifies, publishes and activates.

        Args:
            fitted: On everything.
            gate: What the gate said, for the manifest.
        """
        watch, store, lesson = self._steps.watch, self._steps.store, fitted.lesson
        quality: dict[str, JsonValue] = {"ann_recall@100": fitted.ann_recall, **lesson.quality}
        if gate is not None:
            quality["gate"] = gate
        with watch.stage("runtime"):
            trial = make_trial(self.inputs, self._steps.recipe, fitted.index, lesson.learnt)
            asked = self._steps.config.encoder.query_runtime
            choice = choose_runtime(asked, self._folder / ENCODER, self.facts, trial=trial, load=self._steps.load)
            self.facts = choice.facts
            if choice.figures:
                quality["query_runtimes"] = choice.figures
        with watch.stage("write"):
            manifest = self.write(self._folder, self.inputs, fitted, quality)
        with watch.stage("verify"):
            verify_artifact(self._folder, load=self._steps.load)
        with watch.stage("publish"):
            store.publish(self._folder, manifest)
            store.activate(manifest.artifact_id)
            deleted = self.tidy()
        return self._report(manifest, lesson, deleted)

    def tidy(self) -> list[str]:
        """Deletes what the live artifact makes superfluous, and returns the ids of deleted artifacts."""
        EncodedChunks(self._steps.store.root, self.facts.fingerprint).clear()
        deleted = self._steps.store.prune(self._steps.config.publish.keep)
        trim_live_rows(self._steps.config, self._steps.store.oldest_cut())
        return deleted

    def _same_space(self) -> Artifact | None:
        """Returns the live artifact if its vectors are of the same space."""
        parent = self._steps.parent
        return parent if parent is not None and parent.manifest.encoder.fingerprint == self.facts.fingerprint else None

    def _report(self, manifest: Manifest, lesson: Lesson, deleted: list[str]) -> BuildReport:
        return BuildReport(
            artifact_id=manifest.artifact_id,
            artifacts=str(self._steps.store.root),
            n_items=manifest.index.n_items,
            n_rows=self.inputs.catalogue.n_rows,
            n_encoded=self.encoded.n_encoded,
            n_reused=self.encoded.n_reused,
            user_texts={"n_encoded": lesson.n_encoded, "n_reused": lesson.n_reused},
            index={"kind": manifest.index.kind, **manifest.index.params},
            interactions=self.inputs.counts,
            events=self.inputs.events,
            quality=manifest.quality,
            rejects=self.inputs.rejects,
            deleted=deleted,
            warnings=[*self._steps.warnings, *lesson.warnings],
            seconds=self._steps.watch.seconds,
        )
