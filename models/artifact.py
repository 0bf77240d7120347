"""The artifact: one directory with everything a service needs, opened and checked.

Knows files and their contents; who writes them is models.artifact_writer's business, which one is live the store's
(models.artifact_store).
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from models.encoder import PROBE_COSINES, Encoder
from models.errors import ArtifactCorruptError, ArtifactError, ArtifactMismatchError, ArtifactMissingError
from models.fused import FusedFacts
from models.item_index import ItemIndex, load_index
from models.learnt import LEARNT_FILES, TEXT_NEIGHBOUR_FILES, Learnt, load_learnt
from models.manifest import FileFacts, Manifest, parse_manifest
from models.native.candidates import CandidateWriter, candidate_writer
from models.relation_head import RelationHead, load_head
from models.types import JsonValue, Matrix, Vector

MANIFEST = "manifest.json"
ENCODER = "encoder"
ITEM_IDS = "item_ids.json"
ITEM_FIELDS = "item_fields.jsonl"
FIELD_OFFSETS = "item_field_offsets.npy"
TEXT_HASHES = "item_text_hashes.npy"
EMBEDDINGS = "item_embeddings.npy"
POPULARITY = "popularity.npy"
INDEX = "index.faiss"
HEAD = "relation_head.safetensors"
FileStamp = tuple[int, int, int, int]
"""Device, inode, size and time of change: while they stay, so do a file's bytes."""
_ALWAYS = {ITEM_IDS, ITEM_FIELDS, FIELD_OFFSETS, TEXT_HASHES, EMBEDDINGS, POPULARITY, INDEX, HEAD}


class ItemFields:
    """The items' own fields, read from the map one row at a time."""

    def __init__(self, lines: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self._lines = lines
        self._offsets = offsets

    def get(self, row: int) -> dict[str, JsonValue]:
        """Returns the text fields and attributes of one item."""
        fields: dict[str, JsonValue] = orjson.loads(self._lines[self._offsets[row] : self._offsets[row + 1]].tobytes())
        return fields


@dataclass(frozen=True, slots=True)
class Artifact:
    """An opened artifact, read only; arrays are memory-mapped; `checked` are its files with their sha256.

    `writer` writes candidates, where there is a library for it.
    """

    folder: Path
    manifest: Manifest
    item_ids: Sequence[str]
    rows: Mapping[str, int]
    fields: ItemFields
    embeddings: Matrix
    popularity: Vector
    index: ItemIndex
    head: RelationHead
    learnt: Learnt | None = None
    text_hashes: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 16), np.uint8))
    checked: Mapping[FileStamp, str] = field(default_factory=dict)
    writer: CandidateWriter | None = None

    @property
    def item_vectors(self) -> Matrix:
        """What the index holds, shape `(n_items, index.dim)`; before training the embeddings."""
        return self.embeddings if self.learnt is None else self.learnt.item_vectors

    def text_vectors(self, embeddings: Matrix, texts: Sequence[str]) -> Matrix:
        """Returns clean texts as the matching reads them: a learnt one also reads their words.

        Args:
            embeddings: Of the texts, shape `(t, dim)`.
            texts: The same, clean.
        """
        return embeddings if self.learnt is None else self.learnt.lexicon.beside(embeddings, texts)

    @property
    def encoder_folder(self) -> Path:
        """Where the encoder's files are."""
        return self.folder / ENCODER


def open_artifact(folder: Path, checked: Mapping[FileStamp, str] | None = None) -> Artifact:
    """Opens an artifact after checking its manifest and the hash of every file.

    Args:
        folder: The artifact.
        checked: Files that this process hashed before, which it needn't read again.

    Raises:
        ArtifactMissingError: The directory or a file is not there.
        ArtifactCorruptError: Bytes are not what the manifest says.
        ArtifactUnsupportedError: Another format version.
        ArtifactMismatchError: Facts contradict each other.
    """
    manifest = read_manifest(folder)
    try:
        now_checked = _check_files(folder, manifest, checked or {})
        return replace(_load(folder, manifest), checked=now_checked)
    except ArtifactError as error:
        raise type(error)(f"artifact {folder.name}: {error}") from error


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks the manifest alone, whatever the files are.

    Raises:
        ArtifactError: As for `open_artifact`.
    """
    try:
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ArtifactMissingError(
            f"{folder} has no {MANIFEST}; build one with `python -m index_builder build recall.toml`"
        ) from None
    except OSError as error:
        raise ArtifactCorruptError(f"artifact {folder.name}: {MANIFEST} can't be read: {error}; rebuild it") from error
    except ArtifactError as error:
        raise type(error)(f"artifact {folder.name}: {error}") from error
    name = folder.resolve().name
    if name != manifest.artifact_id and not name.startswith("."):  # a staging directory has no name yet
        raise ArtifactMismatchError(
            f"artifact {name}: its manifest says artifact_id {manifest.artifact_id};"
            " give the directory its own name back"
        )
    return manifest


def check_probe(encoder: Encoder, manifest: Manifest) -> float:
    """Returns the cosine between the probe's stored vector and the one this encoder gives.

    Raises:
        ArtifactMismatchError: It is below the manifest's bound, or its runtime's, or the dimensions differ.
    """
    vector, _ = encoder.encode_user(manifest.text_recipe.clean(manifest.probe.text))
    stored = np.asarray(manifest.probe.vector, np.float32)
    if vector.shape != stored.shape:
        raise ArtifactMismatchError(
            f"artifact {manifest.artifact_id} has dim {len(stored)}, the encoder gives {len(vector)};"
            " rebuild the artifact with this encoder"
        )
    cosine = float(vector @ stored)
    bound = min(manifest.probe.min_cosine, PROBE_COSINES.get(encoder.runtime, 1.0))
    if not cosine >= bound:
        raise ArtifactMismatchError(
            f"artifact {manifest.artifact_id}: the encoder's vector of the probe text has cosine {cosine:.4f} with"
            f" the stored one, {bound} is needed; rebuild the artifact with this encoder"
        )
    return cosine


def file_facts(path: Path) -> FileFacts:
    """Returns what the manifest says of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(sha256=digest, bytes=path.stat().st_size)


def _check_files(folder: Path, manifest: Manifest, checked: Mapping[FileStamp, str]) -> dict[FileStamp, str]:
    needed = _ALWAYS | LEARNT_FILES if isinstance(manifest.matching, FusedFacts) else _ALWAYS
    if not manifest.files.keys() & {*TEXT_NEIGHBOUR_FILES}:  # an artifact of before there were any
        needed -= {*TEXT_NEIGHBOUR_FILES}
    if unlisted := sorted(needed - manifest.files.keys()):
        raise ArtifactMismatchError(f"{MANIFEST} lists no {', '.join(unlisted)}; rebuild the artifact")

    def check(name: str) -> tuple[FileStamp, str]:
        expected = manifest.files[name]
        try:
            stamp = _stamp(folder / name)
            if checked.get(stamp) == expected.sha256:
                return stamp, expected.sha256
            found = file_facts(folder / name)
        except FileNotFoundError:
            raise ArtifactMissingError(f"{name} is missing; rebuild, or roll back to another artifact") from None
        except OSError as error:
            raise ArtifactCorruptError(f"{name} can't be read: {error}; rebuild, or roll back") from error
        if found != expected:
            raise ArtifactCorruptError(
                f"{name} has {found.bytes} bytes and sha256 {found.sha256[:12]}…, the manifest says"
                f" {expected.bytes} and {expected.sha256[:12]}…; rebuild, or roll back to another artifact"
            )
        return stamp, found.sha256

    with ThreadPoolExecutor(2) as pool:  # hashing leaves the interpreter's lock
        return dict(pool.map(check, manifest.files))


def _stamp(path: Path) -> FileStamp:
    facts = path.stat()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _load(folder: Path, manifest: Manifest) -> Artifact:
    n_items, dim = manifest.index.n_items, manifest.encoder.dim
    try:
        item_ids: list[str] = orjson.loads((folder / ITEM_IDS).read_bytes())
        # A plain view of the map: its own class makes every slice slower.
        embeddings = np.asarray(np.load(folder / EMBEDDINGS, mmap_mode="r", allow_pickle=False))
        popularity = np.load(folder / POPULARITY, allow_pickle=False)
        hashes = np.load(folder / TEXT_HASHES, mmap_mode="r", allow_pickle=False)
        offsets = np.load(folder / FIELD_OFFSETS, mmap_mode="r", allow_pickle=False)
        lines = np.memmap(folder / ITEM_FIELDS, np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise ArtifactCorruptError(f"{error}; rebuild the artifact") from error
    learnt = None
    if isinstance(manifest.matching, FusedFacts):
        learnt = load_learnt(folder, manifest.matching, n_items=n_items, dim=dim)
    item_dim = dim if learnt is None else learnt.item_vectors.shape[1]
    for name, shape, expected in (
        (ITEM_IDS, (len(item_ids),), (n_items,)),
        (EMBEDDINGS, embeddings.shape, (n_items, dim)),
        (POPULARITY, popularity.shape, (n_items,)),
        (TEXT_HASHES, hashes.shape, (n_items, 16)),
        (FIELD_OFFSETS, offsets.shape, (n_items + 1,)),
        (f"index.dim in {MANIFEST}", (manifest.index.dim,), (item_dim,)),
    ):
        if shape != expected:
            raise ArtifactMismatchError(f"{name} has shape {shape}, the manifest says {expected}; rebuild the artifact")
    return Artifact(
        folder=folder,
        manifest=manifest,
        item_ids=item_ids,
        rows={item_id: row for row, item_id in enumerate(item_ids)},
        fields=ItemFields(lines, offsets),
        embeddings=embeddings,
        popularity=popularity,
        index=load_index(folder / INDEX, manifest.index.kind, embeddings if learnt is None else learnt.item_vectors),
        head=load_head(
            folder / HEAD,
            kind=manifest.relation_head.kind,
            dim=item_dim,
            n_items=n_items,
            situations=manifest.relation_head.situations,
        ),
        learnt=learnt,
        text_hashes=hashes,
        writer=candidate_writer(item_ids),
    )
