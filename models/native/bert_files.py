"""A BERT, or a model of the same layers, as sentence-transformers saves it: its shape and its tensors."""

import json
import mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderError
from models.types import Matrix, Vector

_POOLINGS = ("mean", "cls")
_KINDS = ("bert", "roberta", "xlm-roberta")
_MODULES = ["Transformer", "Pooling"]


class BertShape(NamedTuple):
    """How large it is."""

    dim: int
    hidden: int
    heads: int
    blocks: int


class BertFiles:
    """A model's files.

    Args:
        folder: As sentence-transformers saves a model.

    Attributes:
        shape: How large the model is.
        epsilon: Of its layer norms.
        pools_mean: Whether a text's vector is the mean of its tokens' rather than the first one's.
        words: Embeddings of tokens, shape `(n_tokens, dim)`, in the file itself.
        positions: Of the first, second … token, shape `(n, dim)`.
        type: What every token gets, shape `(dim,)`.

    Raises:
        EncoderError: It is another kind of model.
        KeyError: A tensor is missing.
        OSError, ValueError: A file is missing or broken.
    """

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind, activation = config.get("model_type"), config.get("hidden_act")
        positions = config.get("position_embedding_type", "absolute")
        if kind not in _KINDS or activation != "gelu" or positions != "absolute" or config.get("is_decoder"):
            raise EncoderError(f"{folder} holds a {kind} with {activation} and {positions} positions, no plain BERT")
        self.pools_mean = _pooling(folder) == "mean"
        self.shape = BertShape(
            config["hidden_size"],
            config["intermediate_size"],
            config["num_attention_heads"],
            config["num_hidden_layers"],
        )
        self.epsilon = float(config["layer_norm_eps"])
        self._tensors = _Tensors(folder / "model.safetensors")
        dim = self.shape.dim
        # RoBERTa counts positions from the one behind padding's.
        first = 0 if kind == "bert" else config["pad_token_id"] + 1
        self.words: Matrix = self._tensors.get("embeddings.word_embeddings.weight", None, dim)
        self.positions: Matrix = self._tensors.get("embeddings.position_embeddings.weight", None, dim)[first:]
        self.type: Vector = self._tensors.get("embeddings.token_type_embeddings.weight", None, dim)[0]

    def layer(self, name: str, height: int, width: int) -> tuple[Matrix, Vector]:
        """Returns a layer's weight, shape `(height, width)`, and bias."""
        return self._tensors.get(f"{name}.weight", height, width), self._tensors.get(f"{name}.bias", height)

    def norm(self, name: str) -> tuple[Vector, Vector]:
        """Returns a layer norm's weight and bias, shape `(dim,)`."""
        return self._tensors.get(f"{name}.weight", self.shape.dim), self._tensors.get(f"{name}.bias", self.shape.dim)


class _Tensors:
    """The tensors of a safetensors file, in float32, mapped: the library's own reader copies them."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as opened:
            self._bytes = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        self._start = 8 + int.from_bytes(self._bytes[:8], "little")
        self._header: dict[str, Any] = json.loads(self._bytes[8 : self._start])

    def get(self, name: str, *shape: int | None) -> NDArray[np.float32]:
        """Returns a tensor of this shape; None is any length."""
        facts = self._header[name]
        found = tuple(facts["shape"])
        wanted = len(found) == len(shape) and all(one in (None, other) for one, other in zip(shape, found, strict=True))
        if facts["dtype"] != "F32" or not wanted:
            raise ValueError(f"{name} is {facts['dtype']} of shape {found}, not F32 of {shape}")
        start, end = facts["data_offsets"]
        return np.frombuffer(self._bytes, np.float32, (end - start) // 4, self._start + start).reshape(found)


def _pooling(folder: Path) -> str:
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    names = [module["type"].rpartition(".")[2] for module in modules]
    if names not in (_MODULES, [*_MODULES, "Normalize"]):
        raise EncoderError(f"{folder} holds a model of {', '.join(names)}")
    config = json.loads((folder / modules[1]["path"] / "config.json").read_text(encoding="utf-8"))
    mode = config.get("pooling_mode")
    if mode not in _POOLINGS or not config.get("include_prompt", True):
        raise EncoderError(f"{folder} holds a model that pools by {config}")
    return str(mode)
