"""The artifact: one directory with everything a service needs. Write half and read half.

Knows files and their contents; which artifact is live is the store's business (models.artifact_store).
"""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from models.encoder import Encoder, EncoderFacts
from models.errors import ArtifactCorruptError, ArtifactError, ArtifactMismatchError, ArtifactMissingError
from models.fused import FusedFacts
from models.item_index import ItemIndex, load_index
from models.learnt import LEARNT_FILES, Learnt, UserTexts, load_learnt, write_learnt, write_user_texts
from models.manifest import FileFacts, HeadFacts, IndexFacts, Manifest, Probe, parse_manifest, seal
from models.matching import DecayedMean
from models.relation_head import RelationHead, load_head
from models.text import TextRecipe
from models.types import Item, JsonValue, Matrix, Vector

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
_ALWAYS = {ITEM_IDS, ITEM_FIELDS, FIELD_OFFSETS, TEXT_HASHES, EMBEDDINGS, POPULARITY, INDEX, HEAD}


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
    """An opened artifact, read only; arrays are memory-mapped."""

    folder: Path
    manifest: Manifest
    item_ids: list[str]
    rows: dict[str, int]
    fields: ItemFields
    embeddings: Matrix
    popularity: Vector
    index: ItemIndex
    head: RelationHead
    learnt: Learnt | None = None

    @property
    def item_vectors(self) -> Matrix:
        """What the index holds, shape `(n_items, index.dim)`; before training the embeddings."""
        return self.embeddings if self.learnt is None else self.learnt.item_vectors

    def text_vectors(self, embeddings: Matrix, texts: Sequence[str]) -> Matrix:
        """Returns clean texts as the matching reads them: a learnt one reads [embedding ; lexical vector].

        Args:
            embeddings: Of the texts, shape `(t, dim)`.
            texts: The same, clean.
        """
        return embeddings if self.learnt is None else np.hstack([embeddings, self.learnt.lexicon.vectors(texts)])

    @property
    def encoder_folder(self) -> Path:
        """Where the encoder's files are."""
        return self.folder / ENCODER


def write_artifact(
    folder: Path,
    contents: ArtifactContents,
    *,
    recipe: TextRecipe,
    encoder: EncoderFacts,
    probe: Probe,
    quality: dict[str, JsonValue],
    parent: "Artifact | None",
) -> Manifest:
    """Writes everything but the encoder's files, which are there already; the manifest last.

    A file whose bytes equal the parent's becomes a hard link to it.
    """
    _write_items(folder, contents.items)
    np.save(folder / EMBEDDINGS, contents.embeddings)
    np.save(folder / POPULARITY, contents.popularity)
    contents.index.save(folder / INDEX)
    contents.head.save(folder / HEAD)
    if contents.learnt is not None and contents.user_texts is not None:
        write_learnt(folder, contents.learnt)
        write_user_texts(folder, contents.user_texts)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    files = {name: _file_facts(folder / name) for name in names}
    if parent is not None:
        _link_unchanged(folder, files, parent)
    manifest = seal(
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        text_recipe=recipe,
        encoder=encoder,
        matching=contents.learnt.matching.facts if contents.learnt else DecayedMean(),
        relation_head=HeadFacts(trained=contents.head_trained),
        index=IndexFacts(
            kind=contents.index.kind,
            dim=contents.index.dim,
            params=contents.index_params,
            n_items=len(contents.items),
        ),
        item_fields=contents.item_fields,
        files=files,
        probe=probe,
        quality=quality,
        parent=parent.manifest.artifact_id if parent else None,
    )
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest


def open_artifact(folder: Path) -> Artifact:
    """Opens an artifact after checking its manifest and the hash of every file.

    Raises:
        ArtifactMissingError: The directory or a file is not there.
        ArtifactCorruptError: Bytes are not what the manifest says.
        ArtifactUnsupportedError: Another format version.
        ArtifactMismatchError: Facts contradict each other.
    """
    manifest = read_manifest(folder)
    try:
        _check_files(folder, manifest)
        return _load(folder, manifest)
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
        ArtifactMismatchError: It is below the manifest's bound, or the dimensions differ.
    """
    vector, _ = encoder.encode_user(manifest.text_recipe.clean(manifest.probe.text))
    stored = np.asarray(manifest.probe.vector, np.float32)
    if vector.shape != stored.shape:
        raise ArtifactMismatchError(
            f"artifact {manifest.artifact_id} has dim {len(stored)}, the encoder gives {len(vector)};"
            " rebuild the artifact with this encoder"
        )
    cosine = float(vector @ stored)
    if not cosine >= manifest.probe.min_cosine:
        raise ArtifactMismatchError(
            f"artifact {manifest.artifact_id}: the encoder's vector of the probe text has cosine {cosine:.4f} with"
            f" the stored one, {manifest.probe.min_cosine} is needed; rebuild the artifact with this encoder"
        )
    return cosine


def text_hashes(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Returns the hash of each clean item text, shape `(n, 16)`: what decides whether an embedding is reused."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(digests, np.uint8).reshape(-1, 16)


def _write_items(folder: Path, items: Sequence[Item]) -> None:
    (folder / ITEM_IDS).write_bytes(orjson.dumps([item.id for item in items]))
    np.save(folder / TEXT_HASHES, text_hashes(item.text for item in items))
    offsets = np.zeros(len(items) + 1, np.int64)
    with (folder / ITEM_FIELDS).open("wb") as lines:
        for row, item in enumerate(items):
            lines.write(orjson.dumps(item.fields, option=orjson.OPT_APPEND_NEWLINE))
            offsets[row + 1] = lines.tell()
    np.save(folder / FIELD_OFFSETS, offsets)


def _file_facts(path: Path) -> FileFacts:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(sha256=digest, bytes=path.stat().st_size)


def _link_unchanged(folder: Path, files: dict[str, FileFacts], parent: Artifact) -> None:
    for name, facts in files.items():
        if parent.manifest.files.get(name) == facts and not (folder / name).samefile(parent.folder / name):
            (folder / name).unlink()
            (folder / name).hardlink_to(parent.folder / name)


def _check_files(folder: Path, manifest: Manifest) -> None:
    needed = _ALWAYS | LEARNT_FILES if isinstance(manifest.matching, FusedFacts) else _ALWAYS
    if unlisted := sorted(needed - manifest.files.keys()):
        raise ArtifactMismatchError(f"{MANIFEST} lists no {', '.join(unlisted)}; rebuild the artifact")

    def check(name: str) -> None:
        expected = manifest.files[name]
        try:
            found = _file_facts(folder / name)
        except FileNotFoundError:
            raise ArtifactMissingError(f"{name} is missing; rebuild, or roll back to another artifact") from None
        except OSError as error:
            raise ArtifactCorruptError(f"{name} can't be read: {error}; rebuild, or roll back") from error
        if found != expected:
            raise ArtifactCorruptError(
                f"{name} has {found.bytes} bytes and sha256 {found.sha256[:12]}…, the manifest says"
                f" {expected.bytes} and {expected.sha256[:12]}…; rebuild, or roll back to another artifact"
            )

    with ThreadPoolExecutor(2) as pool:  # hashing leaves the interpreter's lock
        for _ in pool.map(check, manifest.files):
            pass


def _load(folder: Path, manifest: Manifest) -> Artifact:
    n_items, dim = manifest.index.n_items, manifest.encoder.dim
    try:
        item_ids: list[str] = orjson.loads((folder / ITEM_IDS).read_bytes())
        embeddings = np.load(folder / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
        popularity = np.load(folder / POPULARITY, allow_pickle=False)
        offsets = np.load(folder / FIELD_OFFSETS, mmap_mode="r", allow_pickle=False)
        lines = np.memmap(folder / ITEM_FIELDS, np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise ArtifactCorruptError(f"{error}; rebuild the artifact") from error
    learnt = None
    if isinstance(manifest.matching, FusedFacts):
        learnt = load_learnt(folder, manifest.matching, embeddings)
    item_dim = dim if learnt is None else learnt.item_vectors.shape[1]
    for name, shape, expected in (
        (ITEM_IDS, (len(item_ids),), (n_items,)),
        (EMBEDDINGS, embeddings.shape, (n_items, dim)),
        (POPULARITY, popularity.shape, (n_items,)),
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
        index=load_index(folder / INDEX, manifest.index.kind, dim=manifest.index.dim, n_items=n_items),
        head=load_head(folder / HEAD, dim=item_dim, n_items=n_items),
        learnt=learnt,
    )
