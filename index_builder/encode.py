"""Item texts → embeddings, reusing the parent artifact's where text and encoder are unchanged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from index_builder.config import EncoderConfig
from index_builder.encoder_source import export_encoder, find_model
from index_builder.progress import progress
from models.artifact import ENCODER, TEXT_HASHES, Artifact, text_hashes
from models.encoder import Encoder, EncoderFacts, Precision, load_encoder
from models.errors import EncoderError
from models.text import TextRecipe
from models.types import Matrix

_MIN_COSINE = 0.9999  # what a lower precision must keep of the reference
_CHECKED_TEXTS = 64


@dataclass(frozen=True, slots=True)
class Encoded:
    """The catalogue's embeddings and where they came from.

    Attributes:
        embeddings: Shape `(n_items, dim)`, unit rows.
        n_encoded: Texts that a model read now.
        n_reused: Items whose embedding was there already, in the parent or as another item's text.
    """

    embeddings: Matrix
    n_encoded: int
    n_reused: int


class EncoderPreparer(Protocol):
    """What `prepare_encoder` is; tests put their own."""

    def __call__(
        self, config: EncoderConfig, recipe: TextRecipe, folder: Path, *, texts: Sequence[str], parent: Artifact | None
    ) -> tuple[EncoderFacts, Callable[[], Encoder]]:
        """Puts the encoder's files into the artifact and returns its description and how to load its item side."""


def prepare_encoder(
    config: EncoderConfig, recipe: TextRecipe, folder: Path, *, texts: Sequence[str], parent: Artifact | None
) -> tuple[EncoderFacts, Callable[[], Encoder]]:
    """Puts the encoder's files into the artifact and returns its description and how to load its item side.

    Args:
        config: The section of recall.toml.
        recipe: How texts were cleaned.
        folder: The artifact's directory.
        texts: Clean item texts, to check a lower precision on.
        parent: The live artifact; its files are linked where the fingerprint is the same.

    Raises:
        EncoderError: The model can't be found, loaded or run on the device asked for.
    """
    source = find_model(config.model)
    facts = _link_parent(source.fingerprint(config, recipe, config.dtype), folder, parent)
    if facts is None:
        precision: Precision = "float32"
        facts = export_encoder(source, config, recipe, folder=folder / ENCODER)
        if config.dtype != "float32" and _precision_holds(config, folder / ENCODER, facts, texts):
            precision = config.dtype
        if precision != "float32":
            fingerprint = source.fingerprint(config, recipe, precision)
            facts = facts.model_copy(update={"precision": precision, "fingerprint": fingerprint})
    return facts, lambda: _item_encoder(config, folder / ENCODER, facts)


def encode_items(
    texts: Sequence[str], facts: EncoderFacts, *, load: Callable[[], Encoder], parent: Artifact | None
) -> Encoded:
    """Returns every item's embedding, encoding each new text once.

    Args:
        texts: Clean item texts, in row order.
        facts: The encoder's description.
        load: Loads its item side; not called where nothing is new.
        parent: The live artifact.
    """
    keys = [row.tobytes() for row in text_hashes(texts)]
    known: dict[bytes, int] = {}
    old: Matrix = np.empty((0, facts.dim), np.float32)
    if parent is not None and parent.manifest.encoder.fingerprint == facts.fingerprint:
        hashes = np.load(parent.folder / TEXT_HASHES, allow_pickle=False)
        known = {row.tobytes(): number for number, row in enumerate(hashes)}
        old = parent.embeddings
    fresh = {key: number for number, key in reversed(list(enumerate(keys))) if key not in known}
    vectors = np.empty((0, facts.dim), np.float32)
    if fresh:
        with progress("encoding", len(fresh)) as advance:
            vectors = load().encode_items([texts[number] for number in fresh.values()], advance)
    place = {key: number for number, key in enumerate(fresh)}
    embeddings = np.empty((len(texts), facts.dim), np.float32)
    for row, key in enumerate(keys):
        embeddings[row] = old[known[key]] if key in known else vectors[place[key]]
    return Encoded(embeddings, n_encoded=len(fresh), n_reused=len(texts) - len(fresh))


def _link_parent(fingerprint: str, folder: Path, parent: Artifact | None) -> EncoderFacts | None:
    if parent is None or parent.manifest.encoder.fingerprint != fingerprint:
        return None
    for name in parent.manifest.files:
        if name.startswith(f"{ENCODER}/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).hardlink_to(parent.folder / name)
    return parent.manifest.encoder


def _item_encoder(config: EncoderConfig, folder: Path, facts: EncoderFacts) -> Encoder:
    device = _device(config.device)
    if device == "cpu" and facts.precision == "float32" and facts.query_runtime == "openvino-f32":
        return load_encoder(folder, facts, threads=cores())
    return _torch_encoder(folder, facts, device, facts.precision)


def _precision_holds(config: EncoderConfig, folder: Path, facts: EncoderFacts, texts: Sequence[str]) -> bool:
    device = _device(config.device)
    sample = list(texts[:: max(1, len(texts) // _CHECKED_TEXTS)][:_CHECKED_TEXTS])
    reference = _torch_encoder(folder, facts, device, "float32").encode_items(sample, lambda _: None)
    lower = _torch_encoder(folder, facts, device, config.dtype).encode_items(sample, lambda _: None)
    return bool((reference * lower).sum(axis=1).min() >= _MIN_COSINE)


def _torch_encoder(folder: Path, facts: EncoderFacts, device: str, precision: Precision) -> Encoder:
    import torch

    from models.encoder_torch import TorchEncoder

    return TorchEncoder(folder, facts, device=device, dtype=getattr(torch, precision))


def _device(asked: str) -> str:
    import torch  # seconds; only reached where something has to be encoded

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(device for device, there in available.items() if there)
    if not available[asked]:
        raise EncoderError(f'device is "{asked}", torch {torch.__version__} sees none; use device = "auto"')
    return asked


def cores() -> int:
    """Returns how many cores this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
