"""What is checked before an artifact goes live, and by `verify` at any time after."""

from pathlib import Path

import numpy as np

from models.artifact import Artifact, open_artifact
from models.encoder import EncoderLoader, load_encoder
from models.errors import ArtifactMismatchError
from models.item_index import ItemIndex
from models.query_encoder import open_query_encoder
from models.types import Matrix

_K = 100
_QUERIES = 400
_ROUND_TRIPS = 50


def verify_artifact(folder: Path, *, load: EncoderLoader = load_encoder) -> Artifact:
    """Opens an artifact as a service would and checks more: the probe, and that items find themselves.

    Raises:
        ArtifactError: What is wrong, naming the file or field.
    """
    artifact = open_artifact(folder)
    open_query_encoder(artifact, threads=1, load=load)
    _check_ids(artifact)
    return artifact


def measure_ann_recall(index: ItemIndex, queries: Matrix, *, k: int = _K, seed: int = 0) -> float:
    """Returns ann_recall@k in [0, 1]: the mean share of the exact neighbours that the index finds.

    Args:
        index: What is measured.
        queries: Vectors to draw up to 400 queries from, shape `(n, dim)`.
        k: How many neighbours, or all items where there are fewer.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(queries), size=min(_QUERIES, len(queries)), replace=False)
    k = min(k, len(index))
    shares = []
    for row in drawn:
        exact, _ = index.search_exact(queries[row], k)
        found, _ = index.search(queries[row], k)
        shares.append(len(np.intersect1d(exact, found)) / k)
    return float(np.mean(shares))


def _check_ids(artifact: Artifact) -> None:
    if len(artifact.rows) != len(artifact.item_ids):
        raise ArtifactMismatchError(
            f"artifact {artifact.manifest.artifact_id}: {len(artifact.item_ids)} ids, {len(artifact.rows)} of them"
            " distinct; rebuild the artifact"
        )
    for row in np.linspace(0, len(artifact.item_ids) - 1, num=_ROUND_TRIPS, dtype=np.int64):
        vector = np.asarray(artifact.item_vectors[row])
        _, scores = artifact.index.search(vector, 1)
        lost = artifact.index.kind != "hnsw" and scores[0] < vector @ vector - 1e-3  # a graph may miss: ann_recall says
        if lost or not artifact.index.holds(row, vector):
            raise ArtifactMismatchError(
                f"artifact {artifact.manifest.artifact_id}: item {artifact.item_ids[row]!r} is not found by its own"
                f" vector (best score {scores[0]:.4f}, own {vector @ vector:.4f}), or the index holds another one;"
                " rebuild the artifact"
            )
