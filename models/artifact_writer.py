"""The writing half of an artifact: the builder's work as one directory, the manifest last.

Reading it is `models.artifact`'s business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from models.artifact import (
    EMBEDDINGS,
    FIELD_OFFSETS,
    HEAD,
    INDEX,
    ITEM_FIELDS,
    ITEM_IDS,
    MANIFEST,
    POPULARITY,
    TEXT_HASHES,
    Artifact,
    file_facts,
)
from models.disk import writing
from models.encoder import EncoderFacts
from models.item_index import ItemIndex
from models.known_pairs import KnownPairs, write_known_pairs
from models.learnt import Learnt, UserTexts, write_learnt, write_user_texts
from models.manifest import FileFacts, HeadFacts, IndexFacts, InputFacts, Manifest, Probe, seal
from models.matching import DecayedMean
from models.relation_head import FeatureHead, RelationHead, save_head
from models.text import TextRecipe, text_hash
from models.types import Item, JsonValue, Matrix, Vector


@dataclass(frozen=True, slots=True)
class ArtifactContents:
    """What a builder puts into an artifact, beside the encoder's files.

    Attributes:
        items: The catalogue, in row order.
        item_fields: Catalogue columns kept with each item.
        embeddings: Encodings of the items' texts, shape `(n_items, dim)`.
        popularity: Distinct users of each item, shape `(n_items,)`; zeros without interactions.
        index: Over the item vectors.
        index_params: What it was built with.
        learnt: The learnt matching; None leaves the decayed mean of embeddings.
        user_texts: What it learnt from, for the next build; None with `learnt`.
        head: The relation head.
        head_trained: Whether it learnt from interactions.
        text_fields: Those of `item_fields` whose text is encoded, in this order.
        live_seq: Changes of live items up to this number are in `items`.
        inputs: What it was made from; None where nobody will ask.
        known_pairs: A sample of the pairs it was made from, for the next night; None without interactions.
    """

    items: Sequence[Item]
    item_fields: tuple[str, ...]
    embeddings: Matrix
    popularity: Vector
    index: ItemIndex
    index_params: dict[str, int]
    learnt: Learnt | None
    user_texts: UserTexts | None
    head: RelationHead
    head_trained: bool
    text_fields: tuple[str, ...] = ()
    live_seq: int = 0
    inputs: InputFacts | None = None
    known_pairs: KnownPairs | None = None


def write_artifact(
    folder: Path,
    contents: ArtifactContents,
    *,
    recipe: TextRecipe,
    encoder: EncoderFacts,
    probe: Probe,
    quality: dict[str, JsonValue],
    parent: Artifact | None,
) -> Manifest:
    """Writes everything but the encoder's files, which are there already; the manifest last.

    A file whose bytes equal the parent's becomes a hard link to it.

    Raises:
        OSError: A file can't be written.
    """
    with writing(folder):
        _write_files(folder, contents)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    files = {name: file_facts(folder / name) for name in names}
    if parent is not None:
        _link_unchanged(folder, files, parent)
    manifest = seal(
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        text_recipe=recipe,
        encoder=encoder,
        matching=contents.learnt.matching.facts if contents.learnt else DecayedMean(),
        relation_head=_head_facts(contents),
        index=IndexFacts(
            kind=contents.index.kind,
            dim=contents.index.dim,
            params=contents.index_params,
            n_items=len(contents.items),
        ),
        item_fields=contents.item_fields,
        text_fields=contents.text_fields,
        live_seq=contents.live_seq,
        inputs=contents.inputs,
        files=files,
        probe=probe,
        quality=quality,
        parent=parent.manifest.artifact_id if parent else None,
    )
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest


def _head_facts(contents: ArtifactContents) -> HeadFacts:
    head = contents.head
    if isinstance(head, FeatureHead):
        return HeadFacts(kind="features", trained=contents.head_trained, situations=head.situations)
    return HeadFacts(kind="hadamard", trained=contents.head_trained)


def text_hashes(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Returns the hash of each clean item text, shape `(n, 16)`: what decides whether an embedding is reused."""
    return np.frombuffer(b"".join(map(text_hash, texts)), np.uint8).reshape(-1, 16)


def _write_files(folder: Path, contents: ArtifactContents) -> None:
    _write_items(folder, contents.items)
    np.save(folder / EMBEDDINGS, contents.embeddings)
    np.save(folder / POPULARITY, contents.popularity)
    contents.index.save(folder / INDEX)
    save_head(contents.head, folder / HEAD)
    if contents.learnt is not None and contents.user_texts is not None:
        write_learnt(folder, contents.learnt)
        write_user_texts(folder, contents.user_texts)
    if contents.known_pairs is not None:
        write_known_pairs(folder, contents.known_pairs)


def _write_items(folder: Path, items: Sequence[Item]) -> None:
    (folder / ITEM_IDS).write_bytes(orjson.dumps([item.id for item in items]))
    np.save(folder / TEXT_HASHES, text_hashes(item.text for item in items))
    offsets = np.zeros(len(items) + 1, np.int64)
    with (folder / ITEM_FIELDS).open("wb") as lines:
        for row, item in enumerate(items):
            lines.write(orjson.dumps(item.fields, option=orjson.OPT_APPEND_NEWLINE))
            offsets[row + 1] = lines.tell()
    np.save(folder / FIELD_OFFSETS, offsets)


def _link_unchanged(folder: Path, files: dict[str, FileFacts], parent: Artifact) -> None:
    for name, facts in files.items():
        if parent.manifest.files.get(name) == facts and not (folder / name).samefile(parent.folder / name):
            (folder / name).unlink()
            (folder / name).hardlink_to(parent.folder / name)
