"""The encoder f, as everybody else sees it: clean text in, unit vector out.

Chooses the runtime that the artifact names; imports torch only when that runtime is torch's.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from models.errors import EncoderError
from models.text import TextRecipe
from models.types import Matrix, Vector

QueryRuntime = Literal[
    "native-int8",
    "openvino-f32",
    "openvino-bf16",
    "openvino-int8-weights",
    "openvino-int8",
    "torch-f32",
    "torch-f16",
]
Precision = Literal["float32", "bfloat16", "float16"]

# What the probe's cosine may be where a runtime computes with fewer digits than the reference: less than texts of some
# words lost when these runtimes were measured, far more than another encoder, prompt or pooling would leave.
PROBE_COSINES: Mapping[QueryRuntime, float] = {
    "native-int8": 0.98,
    "openvino-bf16": 0.998,
    "openvino-int8-weights": 0.98,
    "openvino-int8": 0.96,
    "torch-f16": 0.998,
}


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
        fallbacks: What runs it where that can't, in this order; left out of the manifest where there is none.
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
    fallbacks: tuple[QueryRuntime, ...] = Field((), exclude_if=lambda runtimes: not runtimes)

    @property
    def reference(self) -> QueryRuntime:
        """The runtime whose vectors the others come near to; the probe is its vector."""
        return self.fallbacks[-1] if self.fallbacks else self.query_runtime

    def run_by(self, runtime: QueryRuntime) -> "EncoderFacts":
        """Returns the facts with another runtime and no fallback."""
        return self.model_copy(update={"query_runtime": runtime, "fallbacks": ()})


class Encoder(Protocol):
    """A runtime of an encoder. Texts are clean already; prompts, truncation and normalisation happen inside."""

    @property
    def runtime(self) -> QueryRuntime:
        """Which one it is."""

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Returns the unit vector of a user text, shape `(dim,)`, and whether the text was cut. Thread-safe."""

    def encode_users(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of many user texts, shape `(n, dim)`; tells `on_done` how many more are ready."""

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of item texts, shape `(n, dim)`; tells `on_done` how many more are ready."""


class Prompting(ABC):
    """What runtimes that know only texts do alike: each side's prompt is put before them.

    Args:
        facts: The manifest's description.
    """

    def __init__(self, facts: EncoderFacts) -> None:
        self.runtime: QueryRuntime = facts.query_runtime
        self._facts = facts

    def encode_users(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of many user texts, shape `(n, dim)`; tells `on_done` how many more are ready."""
        return self._encode_many([self._facts.prompts.user + text for text in texts], on_done)

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of item texts, shape `(n, dim)`; tells `on_done` how many more are ready."""
        return self._encode_many([self._facts.prompts.item + text for text in texts], on_done)

    @abstractmethod
    def _encode_many(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of texts as they are."""


EncoderLoader = Callable[[Path, EncoderFacts, int], Encoder]


def load_encoder(folder: Path, facts: EncoderFacts, threads: int) -> Encoder:
    """Loads the runtime that the facts name, and no other.

    Args:
        folder: The artifact's encoder files.
        facts: The manifest's description.
        threads: Cores that it may use.

    Raises:
        EncoderError: The files can't be loaded, the runtime isn't installed, or this machine can't run it.
    """
    try:
        if facts.query_runtime.startswith("native"):
            from models.native.encoder import NativeEncoder

            return NativeEncoder(folder, facts, threads)
        if facts.query_runtime.startswith("torch"):
            from models.encoder_torch import query_encoder  # torch is heavy, and absent from a CPU service

            return query_encoder(folder, facts)
        from models.encoder_openvino import OpenVINOEncoder  # large, too, and needed for these runtimes alone
    except ImportError as error:
        raise EncoderError(f"{facts.query_runtime} isn't installed here ({error}); install it") from error
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
