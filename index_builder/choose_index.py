"""Which index an artifact gets, and what its ann_recall is measured on."""

from dataclasses import dataclass

import numpy as np

from index_builder.config import IndexConfig
from index_builder.inputs import Inputs
from index_builder.learn import Lesson
from index_builder.user_texts import clean_texts
from index_builder.verify import measure_ann_recall
from models.artifact_writer import text_hashes
from models.fused import KnownUser
from models.item_index import IndexKind, ItemIndex, build_index, n_compared
from models.learnt import Learnt, UserTexts
from models.recaller import pool_size
from models.text import TextRecipe
from models.training.interactions import Interactions
from models.types import Matrix

MIN_ANN_RECALL = 0.99
"""What a reduced index must find of the exact neighbours, of 100 as of a pool for 100; else all are scanned."""

_K = 100
# A search takes the time of what it reads: a reduced index has to read less than half of what a scan reads.
_WORTH = 0.5
_QUERIES = 200  # of each: users known by what they consumed, and by what they wrote
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class ChosenIndex:
    """The index.

    Attributes:
        index: Over the item vectors.
        params: What it was built with.
        ann_recall: ann_recall@100 on queries that it wasn't built with.
    """

    index: ItemIndex
    params: dict[str, int]
    ann_recall: float


def index_of(vectors: Matrix, config: IndexConfig, queries: Matrix) -> ChosenIndex:
    """Returns the index that the section asks for.

    Args:
        vectors: The item vectors, shape `(n_items, D)`.
        config: The section of recall.toml.
        queries: User vectors as a service will search with, in no order, shape `(n, D)`.
    """
    kind = _kind(vectors, config) if config.kind == "auto" else config.kind
    params = _params(kind, vectors, config)
    built_with, held_out = (queries[::2], queries[1::2]) if len(queries) > 1 else (queries, queries)
    index = build_index(vectors, kind, params=params, queries=built_with)
    if kind == "reduced" and config.kind == "auto" and not _finds_enough(index, held_out):
        params, index = {}, build_index(vectors, "flat", params={})
    return ChosenIndex(index, params, measure_ann_recall(index, held_out))


def ann_queries(inputs: Inputs, lesson: Lesson, recipe: TextRecipe, vectors: Matrix) -> Matrix:
    """Returns user vectors to measure an index with; item vectors where nothing is known of users.

    Args:
        inputs: What was learnt from.
        lesson: What was learnt.
        recipe: How user texts are cleaned.
        vectors: The item vectors, shape `(n_items, D)`.
    """
    if lesson.learnt is None or inputs.interactions is None:
        return vectors
    rng = np.random.default_rng(_SEED)
    users = _by_history(inputs.interactions, lesson.learnt, rng)
    if lesson.user_texts is not None:
        texts = list(dict.fromkeys(clean_texts(inputs.interactions, recipe).values()))
        users += _by_text(texts, lesson.user_texts, lesson.learnt, rng)
    found = [asked.vector for user in users if (asked := lesson.learnt.matching.ask(user)) is not None]
    return rng.permutation(np.stack(found)) if found else vectors


def _kind(vectors: Matrix, config: IndexConfig) -> IndexKind:
    n_items, dim = vectors.shape
    if n_items > config.exact_up_to:
        return "hnsw"
    reads = n_items * config.reduced_rank + n_compared(pool_size(_K)) * dim
    return "reduced" if reads < _WORTH * n_items * dim else "flat"


def _params(kind: IndexKind, vectors: Matrix, config: IndexConfig) -> dict[str, int]:
    if kind == "flat":
        return {}
    if kind == "reduced":
        return {"rank": min(config.reduced_rank, vectors.shape[1])}
    return {
        "m": config.hnsw_m,
        "ef_construction": config.hnsw_ef_construction,
        "ef_search": config.hnsw_ef_search,
    }


def _finds_enough(index: ItemIndex, queries: Matrix) -> bool:
    return all(measure_ann_recall(index, queries, k=k) >= MIN_ANN_RECALL for k in (_K, pool_size(_K)))


def _by_history(interactions: Interactions, learnt: Learnt, rng: np.random.Generator) -> list[KnownUser]:
    side = learnt.matching.side
    no_texts = np.empty((0, len(side.projection) + side.tower.facts.width + 1), np.float32)
    drawn = rng.permutation(len(interactions.user_ids))[:_QUERIES]
    histories = [interactions.items[interactions.users == user] for user in drawn]
    return [KnownUser(no_texts, rows, np.ones(len(rows), np.float32)) for rows in histories]


def _by_text(texts: list[str], known: UserTexts, learnt: Learnt, rng: np.random.Generator) -> list[KnownUser]:
    rows = {digest.tobytes(): row for row, digest in enumerate(known.hashes)}
    drawn = [texts[number] for number in rng.permutation(len(texts))[:_QUERIES]]
    embeddings = np.asarray(known.embeddings)[[rows[digest.tobytes()] for digest in text_hashes(drawn)]]
    known_by_text = learnt.lexicon.beside(embeddings, drawn)
    return [KnownUser(text[None], np.empty(0, np.int64), np.empty(0, np.float32)) for text in known_by_text]
