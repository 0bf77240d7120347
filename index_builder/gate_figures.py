"""Measures what the gate judges: tonight's artifact and the live one, through the `Recaller` that serves both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import process_time_ns

import numpy as np

from index_builder.aligned import Aligned
from index_builder.config import BuildConfig
from index_builder.gate import ArtifactFigures, ExamFigures, InputFigures, Pair, Validated
from index_builder.inputs import Inputs
from index_builder.known_pairs import Kept
from index_builder.steps import Fitted
from index_builder.user_texts import encode_users
from index_builder.verdict import Worse
from models.artifact import Artifact
from models.artifact_writer import text_hashes
from models.encoder import Encoder
from models.recaller import Recaller, UserQuery
from models.text import TextRecipe
from models.training.encodings import Encodings, encodings_of
from models.training.evaluate import Contender, Evaluator, Exam
from models.training.evaluation import Evaluation
from models.training.served import Served
from models.training.split import TASKS, Task
from models.types import JsonValue, Rows

NEW, LIVE = "tonight's", "live"
_QUERIES = 100
_ROUNDS = 3
_HISTORY = 3
_K = 100


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One artifact and what reads user texts for it.

    Attributes:
        artifact: Opened.
        recipe: How user texts are cleaned.
        read: Loads its encoder.
    """

    artifact: Artifact
    recipe: TextRecipe
    read: Callable[[], Encoder]


def input_figures(inputs: Inputs, live: Artifact, kept: Kept | None, config: BuildConfig) -> InputFigures:
    """Returns what can be said before anything is fitted.

    Args:
        inputs: Tonight's.
        live: The live artifact.
        kept: What became of its pairs.
        config: How many rejects are allowed.
    """
    facts, known = live.manifest.inputs, inputs.interactions
    n_interactions = 0 if known is None else len(known)
    return InputFigures(
        n_items=Pair(len(inputs.catalogue.items), len(live.item_ids)),
        n_interactions=None if facts is None else Pair(n_interactions, facts.n_interactions),
        kept=kept,
        texts_changed=_texts_changed(inputs, live),
        rejects=_rejects(inputs, config),
    )


def examine(exam: Exam, new: Side, live: Side) -> Evaluator:
    """Returns the evaluator that has judged both artifacts.

    Args:
        exam: The cases.
        new: Fitted on the exam's past.
        live: The live artifact.
    """
    texts = list(dict.fromkeys(text for cases in exam.cases.values() for case in cases for text in case.texts))
    evaluator = Evaluator(exam)
    for name, ranker in (
        (NEW, Served(new.artifact, _encodings(new, texts), rescore=True)),
        (LIVE, Aligned(live.artifact, new.artifact.item_ids, _encodings(live, texts))),
    ):
        evaluator.add(Contender(name, "product", dict.fromkeys(exam.cases, ranker), {}))
    return evaluator


def exam_figures(evaluator: Evaluator, exam: Exam, *, k: int) -> tuple[ExamFigures, Evaluation]:
    """Returns what the gate judges, and everything that was found."""
    recall = {task: evaluator.compare(NEW, LIVE, task, k) for task in exam.cases}
    evaluation = evaluator.evaluation(list(recall.values()))
    new, live = (ranker.tasks for ranker in evaluation.rankers)
    name = f"coverage@{k}"
    coverage = {task: Pair(new[task].figures[name], live[task].figures[name]) for task in exam.cases}
    return ExamFigures(recall, coverage), evaluation


def artifact_figures(
    new: Artifact, fitted: Fitted, live: Artifact, texts: Sequence[str], config: BuildConfig
) -> ArtifactFigures:
    """Returns what is known of the artifact that would be published.

    Args:
        new: It, opened.
        fitted: What is in it.
        live: The live one.
        texts: Of the items, clean, in row order.
        config: What was asked for.
    """
    return ArtifactFigures(
        ann_recall=fitted.ann_recall,
        latency_ms=measure_latency(new, live, texts),
        validation=_validation(fitted, live, config),
    )


def worse_users(evaluator: Evaluator, exam: Exam, user_ids: Sequence[str], *, k: int) -> list[Worse]:
    """Returns the users whose candidates got worse."""
    found = []
    for task, cases in exam.cases.items():
        new, live = (evaluator.recall_of(name, task, k).tolist() for name in (NEW, LIVE))
        for case, one, other in zip(cases, new, live, strict=True):
            if one < other:
                found.append(Worse(user_id=user_ids[case.user], task=task, new=one, live=other))
    return found


def _encodings(side: Side, texts: Sequence[str]) -> Encodings:
    clean = {text: found for text in texts if (found := side.recipe.clean(text))}
    embeddings = side.artifact.embeddings
    vectors = np.empty((0, embeddings.shape[1]), np.float32)
    if clean:
        # Most texts are the artifact's own and were encoded when it was built.
        vectors = encode_users(list(clean.values()), side.read(), embeddings.shape[1], parent=side.artifact)[
            0
        ].embeddings
    return encodings_of(embeddings, clean, vectors)


def _texts_changed(inputs: Inputs, live: Artifact) -> float | None:
    items = inputs.catalogue.items
    rows, live_rows = _common([item.id for item in items], live)
    if not len(rows):
        return None
    hashes = text_hashes(item.text for item in items)
    return float((hashes[rows] != np.asarray(live.text_hashes)[live_rows]).any(axis=1).mean())


def _rejects(inputs: Inputs, config: BuildConfig) -> dict[str, tuple[float, float]]:
    sections = {"catalogue": config.catalogue, "interactions": config.interactions}
    return {
        table: (float(str(inputs.rejects[table]["share"])), section.max_reject_share)
        for table, section in sections.items()
        if section is not None and table in inputs.rejects
    }


def _validation(fitted: Fitted, live: Artifact, config: BuildConfig) -> dict[Task, tuple[Validated | None, Validated]]:
    if not config.learning.enabled:
        return {}
    new, old = (_validated(quality, config.gate.k) for quality in (fitted.lesson.quality, live.manifest.quality))
    # A task that nobody can be asked any more is no loss; a night that learnt nothing at all is.
    return {task: (new.get(task), found) for task, found in old.items() if not new or task in new}


def _validated(quality: Mapping[str, JsonValue], k: int) -> dict[Task, Validated]:
    found: dict[Task, Validated] = {}
    tasks = quality.get("validation")
    for task in TASKS:
        figures = tasks.get(task) if isinstance(tasks, dict) else None
        if isinstance(figures, dict) and isinstance(product := figures.get("product"), dict):
            recall, cases = product.get(f"recall@{k}"), figures.get("cases")
            if isinstance(recall, int | float) and isinstance(cases, int):
                found[task] = Validated(float(recall), cases)
    return found


def _common(item_ids: Sequence[str], live: Artifact) -> tuple[Rows, Rows]:
    """Returns the rows of the items that are in both: tonight's, and the live artifact's."""
    pairs = [(row, live.rows[item_id]) for row, item_id in enumerate(item_ids) if item_id in live.rows]
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def measure_latency(new: Artifact, live: Artifact, texts: Sequence[str]) -> Pair | None:
    """Returns the median CPU time of one recall, in ms; None where too few items are in both.

    A question is an item's text and a few items consumed, the same in both. They answer in turns, so that the
    machine's other work meets both alike, and the best of some rounds counts.

    Args:
        new: Tonight's artifact.
        live: The live one.
        texts: Of tonight's items, clean, in row order.
    """
    rows, live_rows = _common(new.item_ids, live)
    if len(rows) <= _HISTORY:
        return None
    rng = np.random.default_rng(0)
    drawn = [rng.choice(len(rows), _HISTORY + 1, replace=False) for _ in range(_QUERIES)]
    sides = (
        (Recaller(new), [_query(new, rows[one], texts[rows[one[0]]]) for one in drawn]),
        (Recaller(live), [_query(live, live_rows[one], texts[rows[one[0]]]) for one in drawn]),
    )
    taken = np.empty((_ROUNDS, _QUERIES, len(sides)))
    for round_, question in np.ndindex(_ROUNDS, _QUERIES):
        for side, (recaller, queries) in enumerate(sides):
            start = process_time_ns()
            recaller.recall(queries[question])
            taken[round_, question, side] = process_time_ns() - start
    medians = np.median(taken.min(axis=0), axis=0) / 1e6
    return Pair(float(medians[0]), float(medians[1]))


def _query(artifact: Artifact, rows: Rows, text: str) -> UserQuery:
    return UserQuery(
        texts=artifact.text_vectors(np.asarray(artifact.embeddings[rows[:1]]), [text]),
        history=rows[1:],
        weights=np.ones(len(rows) - 1, np.float32),
        excluded=np.sort(rows[1:]),
        k=_K,
    )
