"""Two artifacts that tell themselves apart in every answer, for benchmarks of swapping.

The twin holds the items of the first in the opposite order under ids of their own, so that its embeddings, its index
and its ids are other files, as after a nightly rebuild; the encoder's files are the same.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.artifact import ENCODER, open_artifact
from models.artifact_store import ArtifactStore
from models.artifact_writer import ArtifactContents, write_artifact
from models.item_index import build_index
from models.learnt import Learnt, load_user_texts
from models.relation_head import HadamardHead
from models.types import Item, Rows

MARK = "twin-"
"""What every id of the twin begins with."""


def make_twins(folder: Path, root: Path) -> tuple[str, str]:
    """Links an artifact into an artifacts folder, publishes its twin beside it, makes the first live; returns both ids.

    Args:
        folder: The artifact; nothing in it is changed.
        root: The artifacts folder, on the same file system.
    """
    first = open_artifact(folder)
    store = ArtifactStore(root)
    artifact_id = first.manifest.artifact_id
    shutil.copytree(folder, root / artifact_id, copy_function=os.link)
    order = np.arange(len(first.item_ids))[::-1]
    embeddings = np.ascontiguousarray(first.embeddings[order])
    vectors = np.ascontiguousarray(first.item_vectors[order])
    contents = ArtifactContents(
        items=[Item(f"{MARK}{first.item_ids[row]}", "", first.fields.get(int(row))) for row in order],
        item_fields=first.manifest.item_fields,
        embeddings=embeddings,
        popularity=first.popularity[order],
        index=build_index(vectors, first.manifest.index.kind, params=first.manifest.index.params),
        index_params=first.manifest.index.params,
        learnt=None if first.learnt is None else _turned(first.learnt, order),
        user_texts=None if first.learnt is None else load_user_texts(folder),
        head=replace(first.head, bias=first.head.bias[order]) if isinstance(first.head, HadamardHead) else first.head,
        head_trained=first.manifest.relation_head.trained,
        # Artifacts from before live items don't say which fields are text: any will do here.
        text_fields=first.manifest.text_fields or first.manifest.item_fields,
    )
    manifest = first.manifest
    with store.staging() as staged:
        shutil.copytree(folder / ENCODER, staged / ENCODER)
        twin = write_artifact(
            staged,
            contents,
            recipe=manifest.text_recipe,
            encoder=manifest.encoder,
            probe=manifest.probe,
            quality={},
            parent=replace(first, folder=root / artifact_id),
        )
        store.publish(staged, twin)
    store.activate(artifact_id)
    return artifact_id, twin.artifact_id


def _turned(learnt: Learnt, order: Rows) -> Learnt:
    side = replace(learnt.matching.side, history_factors=learnt.matching.side.history_factors[order])
    matching = replace(learnt.matching, side=side)
    return replace(learnt, matching=matching, item_vectors=np.ascontiguousarray(learnt.item_vectors[order]))
