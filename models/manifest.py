"""The manifest: an artifact's description and identity. A value and its canonical bytes; no files.

`artifact_id` is a hash over all the other fields, and the stored bytes must be the canonical form: a manifest that
was edited, cut or damaged can't pass for itself.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from models.encoder import EncoderFacts
from models.errors import ArtifactCorruptError, ArtifactMismatchError, ArtifactUnsupportedError
from models.fused import SITUATIONS, FusedFacts, Situation
from models.item_index import IndexKind
from models.matching import DecayedMean
from models.relation_head import HeadKind
from models.text import TextRecipe
from models.types import JsonValue

FORMAT_VERSION = 1
# Relative, no "..", no leading dot: a manifest must not point outside its directory.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IndexFacts(_Facts):
    """How the item vectors are searched."""

    kind: IndexKind
    dim: int
    metric: Literal["inner_product"] = "inner_product"
    params: dict[str, int]
    n_items: int


class HeadFacts(_Facts):
    """Which relation head re-scores the pool, and in which situations."""

    kind: HeadKind = "hadamard"
    trained: bool
    situations: tuple[Situation, ...] = Field(SITUATIONS, exclude_if=lambda found: found == SITUATIONS)


class FileFacts(_Facts):
    """What a file must be."""

    sha256: str
    bytes: int


class Probe(_Facts):
    """A canary: a user text whose vector the running encoder must reproduce."""

    text: str
    vector: tuple[float, ...]
    min_cosine: float


class InputFacts(_Facts):
    """What the artifact was made from.

    Attributes:
        digest: Hash of catalogue, interactions, encoder and settings: equal inputs need no new artifact.
        n_interactions: Interactions that it was fitted on.
        newest: Time of the newest of them; None where times can't be compared with another night's.
    """

    digest: str
    n_interactions: int
    newest: float | None


class Manifest(_Facts):
    """One artifact's description.

    Attributes:
        format_version: Layout of directory and manifest.
        artifact_id: Hash over all the other fields.
        created_at: UTC, ISO 8601.
        text_recipe: How texts were, and have to be, cleaned.
        encoder: What made the embeddings.
        matching: How a user vector comes about.
        relation_head: What re-scores the pool.
        index: What is searched.
        item_fields: Catalogue columns kept with each item.
        text_fields: Those of them whose text is encoded, in this order; left out of artifacts that know no live items.
        live_seq: Changes of live items up to this number are in the catalogue that was built; left out where it is 0.
        files: Every file of the artifact but the manifest.
        probe: The canary.
        inputs: What it was made from; left out of artifacts that don't know.
        quality: What the build measured, and the gate.
        parent: The artifact that was live when this one was built.
    """

    format_version: Literal[1] = 1
    artifact_id: str
    created_at: str
    text_recipe: TextRecipe
    encoder: EncoderFacts
    matching: Annotated[DecayedMean | FusedFacts, Field(discriminator="kind")]
    relation_head: HeadFacts
    index: IndexFacts
    item_fields: tuple[str, ...]
    text_fields: tuple[str, ...] = Field((), exclude_if=lambda names: not names)
    live_seq: int = Field(0, exclude_if=lambda seq: seq == 0)
    files: dict[FileName, FileFacts]
    probe: Probe
    inputs: InputFacts | None = Field(None, exclude_if=lambda facts: facts is None)
    quality: dict[str, JsonValue] = Field(default_factory=dict)
    parent: str | None = None

    def to_bytes(self) -> bytes:
        """Returns the canonical form."""
        return _canonical(self.model_dump(mode="json"))


def seal(**fields: object) -> Manifest:
    """Returns the manifest of these fields, with its `artifact_id`."""
    draft = Manifest.model_validate({"artifact_id": "", **fields})
    return draft.model_copy(update={"artifact_id": _identity(draft)})


def parse_manifest(raw: bytes) -> Manifest:
    """Reads a manifest.

    Raises:
        ArtifactUnsupportedError: Another format version.
        ArtifactCorruptError: Not a manifest, or not its canonical form.
        ArtifactMismatchError: `artifact_id` is not the hash of the other fields.
    """
    try:
        version = json.loads(raw)["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactCorruptError(f"manifest.json is no manifest ({error}); rebuild or roll back") from None
    if version != FORMAT_VERSION:
        raise ArtifactUnsupportedError(
            f"manifest.json has format_version {version!r}, this version reads {FORMAT_VERSION};"
            " rebuild the artifact, or run the version that wrote it"
        )
    try:
        manifest = Manifest.model_validate_json(raw)
        canonical = manifest.to_bytes()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactCorruptError(f"manifest.json: {where}: {first['msg']}; rebuild or roll back") from None
    except ValueError as error:  # a number that is not finite
        raise ArtifactCorruptError(f"manifest.json: {error}; rebuild or roll back") from None
    if canonical != raw:
        raise ArtifactCorruptError("manifest.json is not in canonical form: it was changed; rebuild or roll back")
    if manifest.artifact_id != _identity(manifest):
        raise ArtifactMismatchError(
            f"manifest.json says artifact_id {manifest.artifact_id!r}, its fields hash to {_identity(manifest)!r}:"
            " it was changed; rebuild or roll back"
        )
    return manifest


def _identity(manifest: Manifest) -> str:
    fields = manifest.model_dump(mode="json", exclude={"artifact_id"})
    return hashlib.sha256(_canonical(fields)).hexdigest()[:16]


def _canonical(fields: dict[str, JsonValue]) -> bytes:
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"
