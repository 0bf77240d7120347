"""Item texts → embeddings, reusing the parent artifact's where text and encoder are unchanged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np

from index_builder.config import EncoderConfig
from index_builder.encoded_chunks import EncodedChunks
from index_builder.encoder_source import export_encoder, find_model
from index_builder.progress import progress
from index_builder.two_sides import TwoSides
from models.artifact import ENCODER, TEXT_HASHES, Artifact
from models.artifact_writer import text_hashes
from models.cpu import has_bfloat16
from models.encoder import Encoder, EncoderFacts, Precision, QueryRuntime, load_encoder
from models.errors import EncoderError
from models.native.encoder import suits
from models.text import TextRecipe
from models.types import Matrix, Vector

_MIN_COSINE = 0.9999  # what a lower precision must keep of the reference
_CHECKED_TEXTS = 64
_FAST: QueryRuntime = "native-int8"
_CHUNK = 4096  # texts: what a killed build loses at most


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
        """Puts the encoder's files into the artifact and returns its description and how to load what encodes."""


def prepare_encoder(
    config: EncoderConfig, recipe: TextRecipe, folder: Path, *, texts: Sequence[str], parent: Artifact | None
) -> tuple[EncoderFacts, Callable[[], Encoder]]:
    """Puts the encoder's files into the artifact and returns its description and how to load what encodes in a build.

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
    wanted = _wanted_precision(config)
    same_space = (source.fingerprint(config, recipe, precision) for precision in dict.fromkeys((wanted, "float32")))
    facts = next((found for one in same_space if (found := _link_parent(one, folder, parent)) is not None), None)
    if facts is None:
        facts = export_encoder(source, config, recipe, folder=folder / ENCODER)
        if wanted != "float32" and _precision_holds(config, folder / ENCODER, facts, wanted=wanted, texts=texts):
            fingerprint = source.fingerprint(config, recipe, wanted)
            facts = facts.model_copy(update={"precision": wanted, "fingerprint": fingerprint})
    files = folder / ENCODER
    return facts, lambda: TwoSides(
        lambda: item_encoder(config, files, facts, facts.precision), lambda: _fast_reader(config, files, facts)
    )


def encode_items(
    texts: Sequence[str],
    facts: EncoderFacts,
    *,
    load: Callable[[], Encoder],
    parent: Artifact | None,
    chunks: EncodedChunks | None = None,
) -> Encoded:
    """Returns every item's embedding, encoding each new text once.

    Args:
        texts: Clean item texts, in row order.
        facts: The encoder's description.
        load: Loads what encodes; not called where nothing is new.
        parent: The live artifact.
        chunks: Where embeddings are kept until there is an artifact; None keeps none.
    """
    hashes = text_hashes(texts)
    keys = [row.tobytes() for row in hashes]
    known: dict[bytes, Vector] = {} if chunks is None else chunks.load()
    if parent is not None and parent.manifest.encoder.fingerprint == facts.fingerprint:
        old = np.load(parent.folder / TEXT_HASHES, allow_pickle=False)
        known |= {row.tobytes(): vector for row, vector in zip(old, np.asarray(parent.embeddings), strict=True)}
    fresh = list({key: number for number, key in reversed(list(enumerate(keys))) if key not in known}.values())
    if fresh:
        encoder = load()
        with progress("encoding", len(fresh)) as advance:
            for start in range(0, len(fresh), _CHUNK):
                numbers = fresh[start : start + _CHUNK]
                vectors = encoder.encode_items([texts[number] for number in numbers], advance)
                if chunks is not None:
                    chunks.save(hashes[numbers], vectors)
                known |= {keys[number]: vector for number, vector in zip(numbers, vectors, strict=True)}
    embeddings = np.empty((len(texts), facts.dim), np.float32)
    for row, key in enumerate(keys):
        embeddings[row] = known[key]
    return Encoded(embeddings, n_encoded=len(fresh), n_reused=len(texts) - len(fresh))


def _link_parent(fingerprint: str, folder: Path, parent: Artifact | None) -> EncoderFacts | None:
    if parent is None or parent.manifest.encoder.fingerprint != fingerprint:
        return None
    for name in parent.manifest.files:
        if name.startswith(f"{ENCODER}/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).hardlink_to(parent.folder / name)
    return parent.manifest.encoder


def _wanted_precision(config: EncoderConfig) -> Precision:
    if config.dtype != "auto":
        return config.dtype
    return "bfloat16" if config.device in ("auto", "cpu") and has_bfloat16() else "float32"


def item_encoder(config: EncoderConfig, folder: Path, facts: EncoderFacts, precision: Precision) -> Encoder:
    """Loads what encodes items, in this precision, on the device that the configuration names."""
    device = torch_device(config.device)
    if device == "cpu" and facts.reference == "openvino-f32" and precision != "float16":
        # Where the parent's bfloat16 isn't at home, float32 gives the same vectors.
        runtime: QueryRuntime = "openvino-bf16" if precision == "bfloat16" and has_bfloat16() else "openvino-f32"
        return load_encoder(folder, facts.run_by(runtime), cores())
    return _torch_encoder(folder, facts, device, precision)


def _fast_reader(config: EncoderConfig, folder: Path, facts: EncoderFacts) -> Encoder | None:
    """Loads what is likely to serve queries, which takes half as long as what encodes items; None where it can't."""
    may = config.query_runtime in ("auto", _FAST) and torch_device(config.device) == "cpu"
    return load_encoder(folder, facts.run_by(_FAST), cores()) if may and suits(folder) else None


def _precision_holds(
    config: EncoderConfig, folder: Path, facts: EncoderFacts, *, wanted: Precision, texts: Sequence[str]
) -> bool:
    sample = list(texts[:: max(1, len(texts) // _CHECKED_TEXTS)][:_CHECKED_TEXTS])
    precisions: tuple[Precision, Precision] = ("float32", wanted)
    reference, lower = (
        item_encoder(config, folder, facts, precision).encode_items(sample, lambda _: None) for precision in precisions
    )
    return bool((reference * lower).sum(axis=1).min() >= _MIN_COSINE)


def _torch_encoder(folder: Path, facts: EncoderFacts, device: str, precision: Precision) -> Encoder:
    import torch

    from models.encoder_torch import TorchEncoder

    return TorchEncoder(folder, facts, device=device, dtype=getattr(torch, precision))


def torch_device(asked: str) -> str:
    """Returns torch's word for where to compute.

    Raises:
        EncoderError: What is asked for isn't there.
    """
    # Importing torch takes seconds, and a build of it for CPUs says so in its version.
    if asked in ("auto", "cpu") and version("torch").endswith("+cpu"):
        return "cpu"
    import torch

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
