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

A tower may have members: several such models, fitted apart, whose vectors lie side by side, so that inner products are
summed. All of them are computed at once: arrays have an axis of members before the others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.few_rows import product
from models.types import Matrix, Vector

HIDDEN = 256
"""Width of the networks that read texts."""
_EPSILON = 1e-5  # torch's, in layer norms
# Python's floats: numpy's would turn every float32 array that they meet into float64.
_GELU = math.sqrt(2 / math.pi)


class TowerFacts(BaseModel):
    """The tower's shape, as the manifest describes it.

    Attributes:
        dim: Of a member's vectors.
        members: How many there are; left out of the manifest where there is one.
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
    members: int = Field(1, ge=1, exclude_if=lambda n: n == 1)

    @property
    def width(self) -> int:
        """Length of its vectors: those of the members side by side."""
        return self.members * self.dim


@dataclass(frozen=True, slots=True, eq=False)
class Tower:
    """A fitted tower.

    Attributes:
        facts: Its shape.
        tensors: By name, as `models.training.tower_module.TowerModule` names them; of several members one behind the
            other, with an axis more.
    """

    facts: TowerFacts
    tensors: Mapping[str, Matrix | Vector]

    def texts(self, meaning: Matrix, words: Matrix) -> Matrix:
        """Returns the output vectors of texts, unit rows by member, shape `(n, width)`.

        Args:
            meaning: [embedding ; lexical vector], shape `(n, text_dim)`.
            words: What their words add, shape `(n, width)`.
        """
        return self._outputs("text", meaning, words)

    def items(self, meaning: Matrix, words: Matrix) -> Matrix:
        """Returns the output vectors of items that nobody consumed yet, as `texts` does."""
        return self._outputs("item", meaning, words)

    def user(self, texts: Matrix, items: Matrix, weights: Vector) -> Vector:
        """Returns the user's vector, unit by member, shape `(width,)`; zeros where nothing is known.

        Args:
            texts: Output vectors of the texts, oldest first, shape `(t, width)`.
            items: Output vectors of the consumed items, oldest first, shape `(h, width)`.
            weights: Of the consumed items, shape `(h,)`; an item of weight 0 or less isn't read.
        """
        facts = self.facts
        texts, items, weights = texts[-facts.longest :], items[-facts.longest :], weights[-facts.longest :]
        read = weights > 0
        shares = np.concatenate([np.ones(len(texts), np.float32), weights[read]])
        steps = np.concatenate([_steps(len(texts)), _steps(len(items))[read]])
        if not len(shares):
            return np.zeros(facts.width, np.float32)
        outputs = self._by_member(np.concatenate([texts, items[read]]))
        faded = (shares * facts.decay**steps).astype(np.float32, copy=False)
        mean = _unit(faded[None] @ outputs)
        root = math.sqrt(facts.dim)
        written, consumed = root * outputs[:, : len(texts)], root * outputs[:, len(texts) :]
        tokens = np.concatenate([self._linear("text_token", written), self._linear("item_token", consumed)], axis=1)
        tokens, bias = _standard(tokens), np.log(shares) - facts.slope * steps
        query = self._linear("query", root * mean)
        for hop in range(facts.hops):
            query = query + self._attention(f"hops.{hop}", query, tokens, bias)
            inner = _gelu(self._linear(f"hops.{hop}.inner", self._affine(f"hops.{hop}.inner_norm", _standard(query))))
            query = query + self._linear(f"hops.{hop}.outer", inner)
        found = self._linear("out", self._affine("out_norm", _standard(query)))
        user: Vector = self._joined(_unit(self._of_row("residual") * mean + found))[0]
        return user

    def _outputs(self, side: str, meaning: Matrix, words: Matrix) -> Matrix:
        hidden = _gelu(self._linear(f"{side}_inner", meaning))
        outputs = product(meaning, self.tensors[f"{side}_projection"]) + self._linear(f"{side}_outer", hidden)
        return self._joined(_unit(outputs + self._by_member(words)))

    def _attention(self, hop: str, query: Matrix, tokens: Matrix, bias: Vector) -> Matrix:
        """Returns what a look at the tokens adds, shape `(members, 1, dim)`.

        Keys and values are linear in the tokens: what is asked is led back to them, and only their mean read.

        Args:
            hop: Name of its tensors.
            query: Shape `(members, 1, dim)`.
            tokens: Standardised, shape `(members, n, dim)`.
            bias: Of each token's logits, shape `(n,)`.
        """
        heads, dim = self.facts.heads, self.facts.dim
        reading = self.tensors[f"{hop}.read.weight"]
        reading = reading.reshape(*reading.shape[:-2], 2, heads, dim // heads, dim)
        tokens = self._affine(f"{hop}.token_norm", tokens)[:, None]
        mean = tokens
        if len(bias) > 1:
            asked = self._linear(f"{hop}.asked", self._affine(f"{hop}.query_norm", _standard(query)))
            # The keys' own bias is the same for all tokens: their shares don't depend on it.
            asked = asked.reshape(-1, heads, 1, dim // heads) @ reading[..., 0, :, :, :]
            logits = asked @ tokens.swapaxes(-1, -2) / math.sqrt(dim // heads) + bias
            shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
            mean = shares / shares.sum(axis=-1, keepdims=True) @ tokens
        found = (mean @ reading[..., 1, :, :, :].swapaxes(-1, -2)).reshape(-1, 1, dim)
        return self._linear(f"{hop}.found", found + self._of_row(f"{hop}.read.bias")[..., dim:])

    def _by_member(self, vectors: Matrix) -> Matrix:
        """Returns rows `(n, width)` as `(members, n, dim)`."""
        return vectors.reshape(len(vectors), self.facts.members, self.facts.dim).swapaxes(0, 1)

    def _joined(self, vectors: Matrix) -> Matrix:
        """Returns rows `(members, n, dim)` as `(n, width)`."""
        return vectors.swapaxes(0, 1).reshape(vectors.shape[1], self.facts.width)

    def _linear(self, name: str, inputs: Matrix) -> Matrix:
        return product(inputs, self.tensors[f"{name}.weight"].swapaxes(-1, -2)) + self._of_row(f"{name}.bias")

    def _affine(self, norm: str, inputs: Matrix) -> Matrix:
        return inputs * self._of_row(f"{norm}.weight") + self._of_row(f"{norm}.bias")

    def _of_row(self, name: str) -> Matrix:
        """Returns what each row meets in a tensor: of several members, each its own."""
        return self.tensors[name][..., None, :]


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
    if facts.members > 1:
        shapes = {name: (facts.members, *shape) for name, shape in shapes.items()}
    return shapes


def _steps(n: int) -> Vector:
    """Returns how far back each of the newest is, oldest first."""
    return np.arange(n - 1, -1, -1, dtype=np.float32)


def _unit(vectors: Matrix) -> Matrix:
    norms = np.sqrt(np.vecdot(vectors, vectors))[..., None]
    unit: Matrix = vectors / np.maximum(norms, 1e-12)
    return unit


def _standard(inputs: Matrix) -> Matrix:
    """Returns rows of mean 0 and deviation 1: a layer norm before its weight and bias."""
    n = inputs.shape[-1]
    centred = inputs - np.add.reduce(inputs, axis=-1, keepdims=True) / n
    standard: Matrix = centred / np.sqrt(np.vecdot(centred, centred) / n + _EPSILON)[..., None]
    return standard


def _gelu(values: Matrix) -> Matrix:
    """Returns the Gaussian error linear unit in its tanh form (Hendrycks & Gimpel 2016)."""
    # Multiplied: ** takes twenty times as long for numbers below 0.
    found: Matrix = 0.5 * values * (1 + np.tanh(_GELU * (values + 0.044715 * values * values * values)))
    return found
