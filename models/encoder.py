"""The encoder f, as everybody else sees it: clean text in, unit vector out.

Chooses the runtime that the artifact names; imports torch only when that runtime is torch's.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from models.text import TextRecipe
from models.types import Matrix, Vector

QueryRuntime = Literal["openvino-f32", "torch-f32"]
Precision = Literal["float32", "bfloat16", "float16"]


class Prompts(BaseModel):
    """What is put before a text on either side; part of the encoder's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str = ""
    item: str = ""


class EncoderFacts(BaseModel):
    """The encoder as the manifest describes it.

    Attributes:
        name: What recall.toml called the model.
        revision: The hub's commit, where the model came from a hub.
        dim: Dimensions of its vectors.
        max_tokens: Tokens read of a text, special ones included; the rest is cut.
        prompts: What is put before user and item texts.
        precision: Number format of the item side.
        fingerprint: Hash of weights, tokenizer, pooling and every fact above and of the text recipe.
        query_runtime: What runs it in the service.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    revision: str | None
    dim: int
    max_tokens: int
    prompts: Prompts
    precision: Precision
    fingerprint: str
    query_runtime: QueryRuntime


class Encoder(Protocol):
    """A runtime of an encoder. Texts are clean already; prompts, truncation and normalisation happen inside."""

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Returns the unit vector of a user text, shape `(dim,)`, and whether the text was cut. Thread-safe."""

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of item texts, shape `(n, dim)`; tells `on_done` how many more are ready."""


EncoderLoader = Callable[[Path, EncoderFacts, int], Encoder]


def load_encoder(folder: Path, facts: EncoderFacts, threads: int) -> Encoder:
    """Loads the runtime that the facts name.

    Args:
        folder: The artifact's encoder files.
        facts: The manifest's description.
        threads: Cores that it may use.

    Raises:
        EncoderError: The files can't be loaded, or the runtime isn't installed.
    """
    if facts.query_runtime == "torch-f32":
        from models.encoder_torch import TorchEncoder  # torch is heavy, and absent from a CPU service

        return TorchEncoder(folder, facts)
    from models.encoder_openvino import OpenVINOEncoder  # the mirror case: no OpenVINO needed on a GPU

    return OpenVINOEncoder(folder, facts, threads)


def encoder_fingerprint(files: Mapping[str, str], settings: Mapping[str, object], recipe: TextRecipe) -> str:
    """Returns the identity of a vector space.

    Args:
        files: sha256 of each file of the model: weights, tokenizer, pooling, configuration.
        settings: What else changes an item vector: prompts, max_tokens, dim, precision.
        recipe: How text is cleaned before.
    """
    whole = {"files": dict(files), "settings": dict(settings), "text_recipe": recipe.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
