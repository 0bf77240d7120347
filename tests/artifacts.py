"""Artifacts from given vectors: in memory for searches, written for what is about files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.artifact import ENCODER, Artifact, ItemFields
from models.artifact_store import ArtifactStore
from models.artifact_writer import ArtifactContents, write_artifact
from models.encoder import EncoderFacts
from models.item_index import IndexKind, build_index
from models.manifest import HeadFacts, IndexFacts, Manifest, Probe, seal
from models.matching import DecayedMean
from models.relation_head import RelationHead, cosine_head
from models.text import TextRecipe
from models.types import Item, Matrix, Vector
from tests.fakes import FakeEncoder, fake_facts

ALL_FILES = [
    "encoder/seed.txt",
    "index.faiss",
    "item_embeddings.npy",
    "item_field_offsets.npy",
    "item_fields.jsonl",
    "item_ids.json",
    "item_text_hashes.npy",
    "manifest.json",
    "popularity.npy",
    "relation_head.safetensors",
]
HNSW = {"m": 16, "ef_construction": 200, "ef_search": 400}
INDEX_PARAMS: Mapping[IndexKind, dict[str, int]] = {"flat": {}, "reduced": {"rank": 4}, "hnsw": HNSW}


def facts_of(dim: int) -> EncoderFacts:
    return fake_facts().model_copy(update={"dim": dim})


def sealed_manifest(n_items: int = 3, dim: int = 4, **fields: Any) -> Manifest:
    """A manifest that describes no files."""
    defaults: dict[str, Any] = {
        "created_at": "2025-01-02T03:04:05.678+00:00",
        "text_recipe": TextRecipe(),
        "encoder": facts_of(dim),
        "matching": DecayedMean(),
        "relation_head": HeadFacts(trained=False),
        "index": IndexFacts(kind="flat", dim=dim, params={}, n_items=n_items),
        "item_fields": ("title",),
        "files": {"encoder/seed.txt": {"sha256": "0" * 64, "bytes": 1}},
        "probe": Probe(text="Gr\u00fc\u00dfe \u5c71", vector=(0.6, -0.8, 1e-05, 0.0), min_cosine=0.999),
        "quality": {"ann_recall@100": 1.0},
    }
    return seal(**defaults | fields)


def memory_artifact(
    vectors: Matrix, *, popularity: Sequence[float] | None = None, head: RelationHead | None = None
) -> Artifact:
    """An opened artifact that has no directory."""
    n_items, dim = vectors.shape
    ids = [f"i{row}" for row in range(n_items)]
    lines = np.frombuffer(b"{}\n" * n_items, np.uint8)
    return Artifact(
        folder=Path("nowhere"),
        manifest=sealed_manifest(n_items, dim),
        item_ids=ids,
        rows={item_id: row for row, item_id in enumerate(ids)},
        fields=ItemFields(lines, np.arange(n_items + 1) * 3),
        embeddings=vectors,
        popularity=np.zeros(n_items, np.float32) if popularity is None else np.array(popularity, np.float32),
        index=build_index(vectors, "flat", params={}),
        head=head or cosine_head(dim, n_items),
    )


def contents_of(vectors: Matrix, *, kind: IndexKind = "flat") -> ArtifactContents:
    """What a builder would put into an artifact of these vectors."""
    n_items, dim = vectors.shape
    params = INDEX_PARAMS[kind]
    return ArtifactContents(
        items=[Item(f"i{row}", f"text {row}", {"title": f"Title {row}"}) for row in range(n_items)],
        item_fields=("title",),
        embeddings=vectors,
        popularity=np.arange(n_items, dtype=np.float32),
        index=build_index(vectors, kind, params=params),
        index_params=params,
        learnt=None,
        user_texts=None,
        head=cosine_head(dim, n_items),
        head_trained=False,
    )


def write(folder: Path, contents: ArtifactContents, *, parent: Artifact | None = None, **changes: Any) -> Manifest:
    """Writes an artifact of the fake encoder into a folder."""
    (folder / ENCODER).mkdir(parents=True, exist_ok=True)
    (folder / ENCODER / "seed.txt").write_text("0")
    vector, _ = FakeEncoder().encode_user("probe")
    facts: dict[str, Any] = {
        "recipe": TextRecipe(),
        "encoder": facts_of(contents.embeddings.shape[1]),
        "probe": Probe(text="probe", vector=tuple(vector.tolist()), min_cosine=0.999),
        "quality": {},
    }
    return write_artifact(folder, contents, parent=parent, **facts | changes)


def publish(store: ArtifactStore, contents: ArtifactContents, **changes: Any) -> str:
    """Stages, publishes and returns the id; it isn't live."""
    with store.staging() as folder:
        manifest = write(folder, contents, **changes)
        store.publish(folder, manifest)
    return manifest.artifact_id


def unit_rows(n: int, dim: int, seed: int = 0) -> Matrix:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def unit(*values: float) -> Vector:
    vector = np.array(values, np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)
