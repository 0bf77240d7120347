"""A BERT, or a model of the same layers, as sentence-transformers saves it: its shape and its tensors."""

import json
import math
import mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import EncoderError
from models.types import Matrix, Rows, Vector

_POOLINGS = ("mean", "cls")
_BUCKETS, _FARTHEST = 32, 128  # of MPNet's distances: how many, and from where on all are one
_MODULES = ["Transformer", "Pooling"]


class BertShape(NamedTuple):
    """How large it is."""

    dim: int
    hidden: int
    heads: int
    blocks: int


class BlockNames(NamedTuple):
    """What a block's tensors are called.

    Attributes:
        asked: Queries, keys and values.
        attended: What reads the attention.
        norm: Behind it.
    """

    asked: tuple[str, str, str]
    attended: str
    norm: str


_BERT = BlockNames(
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output.dense",
    "attention.output.LayerNorm",
)
_MPNET = BlockNames(
    ("attention.attn.q", "attention.attn.k", "attention.attn.v"), "attention.attn.o", "attention.LayerNorm"
)
_KINDS = {"bert": _BERT, "roberta": _BERT, "xlm-roberta": _BERT, "mpnet": _MPNET}


class BertFiles:
    """A model's files.

    Args:
        folder: As sentence-transformers saves a model.

    Attributes:
        shape: How large the model is.
        names: What a block's tensors are called.
        epsilon: Of its layer norms.
        pools_mean: Whether a text's vector is the mean of its tokens' rather than the first one's.
        words: Embeddings of tokens, shape `(n_tokens, dim)`, in the file itself.
        positions: Of the first, second … token, shape `(n, dim)`.
        padding: Token that counts for no position, as a text may spell it; -1: there is none.
        padding_position: What it gets instead, shape `(dim,)`.
        type: What every token gets, shape `(dim,)`.
        distances: What each head adds to a key's score by its distance from the query, from the last token's to the
            first to the first's to the last, shape `(heads, 2 * len(positions) - 1)`; None where none counts.

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
        self.names, self.pools_mean = _KINDS[kind], _pooling(folder) == "mean"
        self.shape = BertShape(
            config["hidden_size"],
            config["intermediate_size"],
            config["num_attention_heads"],
            config["num_hidden_layers"],
        )
        self.epsilon = float(config["layer_norm_eps"])
        self._tensors = _Tensors(folder / "model.safetensors")
        dim = self.shape.dim
        # RoBERTa counts positions from the one behind padding's; so does MPNet, whose padding is always token 1.
        first = 0 if kind == "bert" else 2 if kind == "mpnet" else config["pad_token_id"] + 1
        self.words: Matrix = self._tensors.get("embeddings.word_embeddings.weight", None, dim)
        self.padding, positions = first - 1, self._tensors.get("embeddings.position_embeddings.weight", None, dim)
        self.positions: Matrix = positions[first:]
        self.padding_position: Vector = positions[self.padding]
        self.type: Vector = np.zeros(dim, np.float32)
        self.distances: Matrix | None = None
        if kind == "mpnet":
            by_bucket = self._tensors.get("encoder.relative_attention_bias.weight", _BUCKETS, self.shape.heads)
            if not np.isfinite(by_bucket).all():
                raise ValueError("what a distance adds to a score is no number")
            self.distances = by_bucket[_buckets(len(self.positions))].T
        else:
            self.type = self._tensors.get("embeddings.token_type_embeddings.weight", None, dim)[0]

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


def _buckets(n: int) -> Rows:
    """Returns the bucket of each distance from 1 - n to n - 1 (T5's, which MPNet took: arXiv:1910.10683, 2.1).

    A half is for keys behind the query; in each, near distances have a bucket of their own, farther ones share them.
    """
    distances = np.arange(1 - n, n)
    half, far = _BUCKETS // 2, np.abs(distances)
    exact = half // 2
    # float32, as torch has it: in float64 some logarithms would fall on the other side of a whole number.
    steps = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact)) / np.float32(math.log(_FARTHEST / exact))
    shared = np.minimum(exact + (steps * np.float32(half - exact)).astype(np.int64), half - 1)
    found: Rows = np.where(distances > 0, half, 0) + np.where(far < exact, far, shared)
    return found


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
