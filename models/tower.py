"""The tower: a small attention model, learnt end to end, from texts and histories to items. Numpy only.

An item's output vector is norm(x·P + f(x) + w + z): x = [embedding ; lexical vector], f a small network, w what its
words add, z its own residual (zero for an item that nobody consumed). A text's is the same without z, with its own P
and f. A user is known by such vectors o_j, each d_j steps back with a weight a_j:

    r  = norm(Σ a_j·decay^d_j · o_j)
    q  = W·√d·r + b,   then for each hop   q ← q + Attention(q over the tokens √d·o_j·W' + b'; log a_j - slope·d_j)
                                           q ← q + FFN(q)
    u  = norm(ρ·r + W''·LN(q) + b'')

so that before training u = r: zero-shot similarity. How it is fitted is `models.training.tower`'s business; a test
holds both to the same scores.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.types import Matrix, Vector

HIDDEN = 256
"""Width of the networks that read texts."""
_EPSILON = 1e-5  # torch's, in layer norms
# Python's floats: numpy's would turn every float32 array that they meet into float64.
_GELU = math.sqrt(2 / math.pi)


class TowerFacts(BaseModel):
    """The tower's shape, as the manifest describes it.

    Attributes:
        dim: Of its vectors.
        heads: Of the attention.
        hops: How often the user attends to the tokens.
        decay: What a step back multiplies a token's share of r by.
        slope: What a step back takes from a token's attention logit.
        longest: Newest texts, and newest items, that are read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(192, ge=1)
    heads: int = Field(2, ge=1)
    hops: int = Field(2, ge=0)
    decay: float = Field(0.8, gt=0, le=1)
    slope: float = Field(0.15, ge=0)
    longest: int = Field(50, ge=1)


@dataclass(frozen=True, slots=True, eq=False)
class Tower:
    """A fitted tower.

    Attributes:
        facts: Its shape.
        tensors: By name, as `models.training.tower_module.TowerModule` names them.
    """

    facts: TowerFacts
    tensors: Mapping[str, Matrix | Vector]

    def texts(self, meaning: Matrix, words: Matrix) -> Matrix:
        """Returns the output vectors of texts, unit rows, shape `(n, dim)`.

        Args:
            meaning: [embedding ; lexical vector], shape `(n, text_dim)`.
            words: What their words add, shape `(n, dim)`.
        """
        return self._outputs("text", meaning, words)

    def items(self, meaning: Matrix, words: Matrix) -> Matrix:
        """Returns the output vectors of items that nobody consumed yet, unit rows, shape `(n, dim)`."""
        return self._outputs("item", meaning, words)

    def user(self, texts: Matrix, items: Matrix, weights: Vector) -> Vector:
        """Returns the user's vector, shape `(dim,)`; zeros where nothing is known.

        Args:
            texts: Output vectors of the texts, oldest first, shape `(t, dim)`.
            items: Output vectors of the consumed items, oldest first, shape `(h, dim)`.
            weights: Of the consumed items, shape `(h,)`; an item of weight 0 or less isn't read.
        """
        facts = self.facts
        texts, items, weights = texts[-facts.longest :], items[-facts.longest :], weights[-facts.longest :]
        outputs = np.concatenate([texts, items])
        shares = np.concatenate([np.ones(len(texts), np.float32), weights])
        steps = np.concatenate([np.arange(len(texts))[::-1], np.arange(len(items))[::-1]]).astype(np.float32)
        read = shares > 0
        if not read.any():
            return np.zeros(facts.dim, np.float32)
        outputs, shares, steps = outputs[read], shares[read], steps[read]
        is_text = np.arange(len(read))[read] < len(texts)
        mean = _unit((shares * facts.decay**steps) @ outputs)
        root = np.float32(math.sqrt(facts.dim))
        tokens = np.where(
            is_text[:, None], self._linear("text_token", root * outputs), self._linear("item_token", root * outputs)
        )
        bias = np.log(shares) - facts.slope * steps
        query = self._linear("query", root * mean)
        for hop in range(facts.hops):
            query = query + self._attention(f"hops.{hop}", query, tokens, bias)
            inner = _gelu(self._linear(f"hops.{hop}.inner", self._norm(f"hops.{hop}.inner_norm", query)))
            query = query + self._linear(f"hops.{hop}.outer", inner)
        user: Vector = _unit(self.tensors["residual"] * mean + self._linear("out", self._norm("out_norm", query)))
        return user.astype(np.float32)

    def _outputs(self, side: str, meaning: Matrix, words: Matrix) -> Matrix:
        hidden = _gelu(self._linear(f"{side}_inner", meaning))
        outputs: Matrix = _unit(
            meaning @ self.tensors[f"{side}_projection"] + self._linear(f"{side}_outer", hidden) + words
        )
        return outputs

    def _attention(self, hop: str, query: Vector, tokens: Matrix, bias: Vector) -> Vector:
        heads = self.facts.heads
        asked = self._linear(f"{hop}.asked", self._norm(f"{hop}.query_norm", query)).reshape(heads, -1)
        read = self._linear(f"{hop}.read", self._norm(f"{hop}.token_norm", tokens))
        keys, values = read.reshape(len(tokens), 2, heads, -1).transpose(1, 2, 0, 3)  # each (heads, n, dim / heads)
        logits = np.einsum("hd,hnd->hn", asked, keys) / math.sqrt(asked.shape[1]) + bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return self._linear(f"{hop}.found", np.einsum("hn,hnd->hd", shares, values).reshape(-1))

    def _linear(self, name: str, inputs: Matrix) -> Matrix:
        outputs: Matrix = inputs @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]
        return outputs

    def _norm(self, name: str, inputs: Matrix) -> Matrix:
        centred = inputs - inputs.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)
        normed: Matrix = centred / deviation * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
        return normed


def tensor_shapes(facts: TowerFacts, text_dim: int) -> dict[str, tuple[int, ...]]:
    """Returns the shape that each tensor of a tower has.

    Args:
        facts: The tower's shape.
        text_dim: Length of [embedding ; lexical vector].
    """
    dim = facts.dim
    shapes: dict[str, tuple[int, ...]] = {"residual": (1,)}

    def linear(name: str, width: int, height: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (height, width), (height,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (dim,)

    for side in ("item", "text"):
        shapes[f"{side}_projection"] = (text_dim, dim)
        linear(f"{side}_inner", text_dim, HIDDEN)
        linear(f"{side}_outer", HIDDEN, dim)
        linear(f"{side}_token", dim, dim)
    for hop in range(facts.hops):
        for name in ("query_norm", "token_norm", "inner_norm"):
            norm(f"hops.{hop}.{name}")
        for name, width, height in (
            ("asked", dim, dim),
            ("read", dim, 2 * dim),
            ("found", dim, dim),
            ("inner", dim, 2 * dim),
            ("outer", 2 * dim, dim),
        ):
            linear(f"hops.{hop}.{name}", width, height)
    linear("query", dim, dim)
    linear("out", dim, dim)
    norm("out_norm")
    return shapes


def _unit(vectors: Matrix) -> Matrix:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Matrix = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


def _gelu(values: Matrix) -> Matrix:
    """Returns the Gaussian error linear unit in its tanh form (Hendrycks & Gimpel 2016)."""
    # Multiplied: ** takes twenty times as long for numbers below 0.
    found: Matrix = 0.5 * values * (1 + np.tanh(_GELU * (values + 0.044715 * values * values * values)))
    return found
