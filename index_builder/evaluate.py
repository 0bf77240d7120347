"""The evaluation, top to bottom: read → encode → hold out → learn on the past → write an artifact → rank → judge.

The product is what a build would have published at the time of the past: the same functions make it, the same
`Recaller` serves it. Its artifact is gone afterwards.
"""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from index_builder.choose_index import ann_queries, index_of
from index_builder.config import BuildConfig, EncoderConfig
from index_builder.contents import contents_of, probe_of, text_recipe
from index_builder.encode import EncoderPreparer, encode_items, prepare_encoder
from index_builder.finetune import finetuned
from index_builder.inputs import Inputs, read_inputs
from index_builder.learn import Lesson, first_words, learn
from index_builder.lock import builder_lock
from index_builder.progress import progress
from index_builder.quantise import is_quantised
from index_builder.remembering import Remembering
from index_builder.report import row_lines
from index_builder.steps import open_parent
from index_builder.user_texts import clean_texts, encode_users
from models.artifact import ENCODER, Artifact, open_artifact
from models.artifact_store import ArtifactStore
from models.artifact_writer import write_artifact
from models.encoder import Encoder, EncoderFacts, EncoderLoader, load_encoder
from models.errors import ConfigError
from models.recaller import pool_size
from models.training.baselines import all_baselines
from models.training.baselines.base import Baseline
from models.training.encodings import Encodings, encodings_of
from models.training.evaluate import Contender, Evaluator, Exam, hold_out, past_and_future, pool_of, tuned_baseline
from models.training.evaluation import COMPARED_AT, Comparison, Cost, Evaluation, LossCurve, PoolFacts
from models.training.served import Served, searched_exactly
from models.training.split import Task
from models.types import Matrix

PRODUCT = "product"
NO_HEAD = "product, without head"
EXACT = "product, without head, exact search"
_HEAD_AT = 10
_POOL_AT = 100
_SEED = 0
_FEW = 30  # cases, by which an interval says little


def evaluate(
    config: BuildConfig, *, prepare: EncoderPreparer = prepare_encoder, load: EncoderLoader = load_encoder
) -> Evaluation:
    """Evaluates what a build of this file would serve against every baseline.

    Args:
        config: What is built, and from what.
        prepare: Puts the encoder's files into the artifact; tests put their own.
        load: Loads the encoder's query runtime.

    Raises:
        RecallError: There is nothing to evaluate on, or it could not be built; published artifacts are untouched.
    """
    store = ArtifactStore(config.publish.artifacts)
    with builder_lock(store.root):
        store.clean()
        with store.staging() as folder:
            return _Evaluation(config, store, folder, prepare, load).run()


class _Evaluation:
    def __init__(
        self, config: BuildConfig, store: ArtifactStore, folder: Path, prepare: EncoderPreparer, load: EncoderLoader
    ) -> None:
        self.config, self.store, self.folder = config, store, folder
        self.prepare, self.load = prepare, load
        self.recipe = text_recipe(config.text)
        self.parent, self.warnings = open_parent(store)
        if not config.learning.enabled:
            self.warnings.append(
                "learning.enabled is false: the product of this page is learnt, a build's is zero-shot"
            )

    def run(self) -> Evaluation:
        inputs = read_inputs(self.config, self.recipe, rejects=self.store.root / "rejects")
        if inputs.interactions is None:
            raise ConfigError(
                "recall.toml has no [interactions] and no events were taken, so there is nothing to evaluate on;"
                " add the section with the table of who consumed what"
            )
        counts = inputs.counts
        some_left_out = counts is not None and counts.n_used < counts.n_rows
        self.warnings += [*inputs.warnings, *row_lines(inputs.rejects, counts if some_left_out else None)]
        item_texts = [item.text for item in inputs.catalogue.items]
        before = past_and_future(inputs.interactions, seed=_SEED).past
        user_texts = clean_texts(inputs.interactions, self.recipe) | clean_texts(before, self.recipe)
        facts, known, encodings = self._encode(self._finetuned(inputs), item_texts, user_texts)
        exam = hold_out(inputs.interactions, encodings.items, seed=_SEED)
        self.warnings += [
            f"by {task} only {len(cases)} are asked: intervals over so few say little"
            for task, cases in exam.cases.items()
            if len(cases) < _FEW
        ]
        past = replace(inputs, interactions=exam.past)
        artifact, lesson, seconds = self._refit(past, encodings.items, facts, known)
        cost = Cost(
            training_seconds=round(seconds, 3),
            peak_memory_bytes=_peak_memory(),
            artifact_bytes=_artifact_bytes(artifact),
        )
        products = _products(artifact, exam, encodings)
        baselines = all_baselines(item_texts, user_texts, inputs.item_times)
        evaluation = _judge(exam, products, baselines, encodings)
        pools = _pools(exam, Served(artifact, encodings, rescore=False))
        found = {"pools": pools, "cost": cost, "losses": _losses(lesson), "warnings": self.warnings}
        return evaluation.model_copy(update=found)

    def _finetuned(self, inputs: Inputs) -> EncoderConfig:
        """Returns the encoder's section; what is fine-tuned has seen the past only."""
        assert inputs.interactions is not None
        encoder = self.config.encoder
        if encoder.finetune == "off":
            return encoder
        past = replace(inputs, interactions=past_and_future(inputs.interactions, seed=_SEED).past)
        tuned = finetuned(encoder, self.recipe, past, self.store.root, live=self.parent)
        self.warnings += tuned.warnings
        return tuned.config

    def _encode(
        self, encoder_config: EncoderConfig, item_texts: Sequence[str], user_texts: Mapping[str, str]
    ) -> tuple[EncoderFacts, Encoder, Encodings]:
        """Returns the encoder, which knows from now on every text that is learnt from, and what it made of them."""
        facts, load = self.prepare(encoder_config, self.recipe, self.folder, texts=item_texts, parent=self.parent)
        encoder = load()
        items = encode_items(item_texts, facts, load=lambda: encoder, parent=self.parent).embeddings
        same = self.parent is not None and self.parent.manifest.encoder.fingerprint == facts.fingerprint
        texts = [*user_texts.values(), *first_words(item_texts)]
        encoded, _ = encode_users(texts, encoder, facts.dim, parent=self.parent if same else None)
        known = Remembering(encoder, dict(zip(texts, encoded.embeddings, strict=True)))
        return facts, known, encodings_of(items, user_texts, encoded.embeddings[: len(user_texts)])

    def _refit(
        self, past: Inputs, embeddings: Matrix, facts: EncoderFacts, encoder: Encoder
    ) -> tuple[Artifact, Lesson, float]:
        """Returns the artifact that a build would have made of the past, what was learnt, and in how many seconds."""
        start = time.perf_counter()
        lesson = learn(past, embeddings, encoder, self.recipe, config=self.config, parent=None)
        seconds = time.perf_counter() - start
        self.warnings += lesson.warnings
        vectors = embeddings if lesson.learnt is None else lesson.learnt.item_vectors
        chosen = index_of(vectors, self.config.index, ann_queries(past, lesson, self.recipe, vectors))
        write_artifact(
            self.folder,
            contents_of(
                self.config.catalogue, past, embeddings, index=chosen.index, params=chosen.params, lesson=lesson
            ),
            recipe=self.recipe,
            encoder=facts,
            probe=probe_of(self.load(self.folder / ENCODER, facts.run_by(facts.reference), 1), self.recipe),
            quality={},
            parent=None,
        )
        return open_artifact(self.folder), lesson, seconds


def _artifact_bytes(artifact: Artifact) -> int:
    """Returns the size of its files, the same whether there was a built one to link the encoder's int8 graphs from."""
    return sum(file.bytes for name, file in artifact.manifest.files.items() if not is_quantised(name))


def _losses(lesson: Lesson) -> list[LossCurve]:
    """Returns what fitting the tower looked like, epoch by epoch."""
    validation = lesson.quality.get("validation")
    tower = validation.get("tower") if isinstance(validation, dict) else None
    names = {"loss": "tower: training loss by epoch", "recall": "tower alone: validation recall by epoch"}
    return [
        LossCurve.model_validate({"name": name, "values": tower[figure]})
        for figure, name in names.items()
        if isinstance(tower, dict)
    ]


def _products(artifact: Artifact, exam: Exam, encodings: Encodings) -> list[Contender]:
    exact = searched_exactly(artifact)
    rankers = {
        PRODUCT: Served(artifact, encodings, rescore=True),
        NO_HEAD: Served(artifact, encodings, rescore=False),
        EXACT: Served(exact, encodings, rescore=False),
    }
    return [Contender(name, "product", {task: ranker for task in exam.cases}, {}) for name, ranker in rankers.items()]


def _judge(
    exam: Exam, products: Sequence[Contender], baselines: Sequence[Baseline], encodings: Encodings
) -> Evaluation:
    evaluator = Evaluator(exam)
    with progress("evaluating", len(products) + len(baselines)) as advance:
        for product in products:
            evaluator.add(product)
            advance(1)
        for baseline in baselines:
            if (tuned := tuned_baseline(baseline, exam, encodings)) is not None:
                evaluator.add(tuned)
            advance(1)
    comparisons: list[Comparison] = []
    for task in exam.cases:
        if (best := evaluator.best_baseline(task)) is not None:
            comparisons.append(evaluator.compare(PRODUCT, best, task, COMPARED_AT))
        comparisons += [evaluator.compare(PRODUCT, part, task, COMPARED_AT) for part in evaluator.parts(task)]
        comparisons += [evaluator.compare(PRODUCT, NO_HEAD, task, k) for k in (_HEAD_AT, COMPARED_AT)]
    return evaluator.evaluation(comparisons)


def _pools(exam: Exam, product: Served) -> dict[Task, PoolFacts]:
    size = min(pool_size(_POOL_AT), exam.facts.n_items)
    return {task: pool_of(product, cases, k=_POOL_AT, size=size) for task, cases in exam.cases.items()}


def _peak_memory() -> int:
    """Returns the highest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
