"""The tower in torch: what `models.tower` computes in numpy, with dropout, a loss and what is learnt.

How it is fitted is `models.training.tower`'s business.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from models.tower import HIDDEN, TowerFacts
from models.training.tower_examples import Batch
from models.types import Mask, Matrix, Vector

# Above so many items the softmax runs over the batch's targets and as many uniform negatives as there are below.
FULL_SOFTMAX = 30_000
_NEGATIVES = 8_192
_INPUT_DROPOUT = 0.2
_WORD_DROPOUT = 0.5
_START_TEMPERATURE = 0.06


@dataclass(frozen=True, slots=True)
class TowerTraining:
    """How the tower is fitted.

    Attributes:
        epochs: Passes over the examples, at most.
        learning_rate: The one-cycle schedule's highest.
        batch: Users a step, at most: there are some steps in each epoch.
        dropout: In the networks.
        item_dropout: How often an item's residual is left out, so that its text has to speak for it.
        weight_decay: Of matrices.
    """

    epochs: int = 10
    learning_rate: float = 2e-3
    batch: int = 512
    dropout: float = 0.3
    item_dropout: float = 0.3
    weight_decay: float = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class TowerInputs:
    """What the tower reads.

    Attributes:
        items: [embedding ; lexical vector] of the items, shape `(n_items, text_dim)`.
        texts: The same of the texts, shape `(n_texts, text_dim)`.
        item_terms: TF-IDF of the items, unit rows, shape `(n_items, n_terms)`.
        text_terms: The same of the texts, shape `(n_texts, n_terms)`.
        projection: What both projections start from, shape `(text_dim, dim)`.
        warm: Which items have users.
        popularity: Standardised log popularity, shape `(n_items,)`.
    """

    items: Matrix
    texts: Matrix
    item_terms: csr_matrix
    text_terms: csr_matrix
    projection: Matrix
    warm: Mask
    popularity: Vector


class TowerModule(nn.Module):
    """The tower in torch, fed by batches of users."""

    def __init__(self, inputs: TowerInputs, facts: TowerFacts, training: TowerTraining) -> None:
        super().__init__()
        self.facts, self.settings = facts, training
        n_items, text_dim = inputs.items.shape
        dim = facts.dim
        self.every_item: Tensor
        self.item_meaning: Tensor
        self.text_meaning: Tensor
        self.warm: Tensor
        self.log_popularity: Tensor
        for name, values in (
            ("every_item", torch.arange(n_items)),
            ("item_meaning", torch.from_numpy(inputs.items)),
            ("text_meaning", torch.from_numpy(inputs.texts)),
            ("warm", torch.from_numpy(inputs.warm.astype(np.float32))),
            ("log_popularity", torch.from_numpy(inputs.popularity)),
        ):
            self.register_buffer(name, values, persistent=False)
        self.item_words, self.text_words = _Words(inputs.item_terms), _Words(inputs.text_terms)
        start = torch.from_numpy(inputs.projection)
        self.item_projection, self.text_projection = nn.Parameter(start.clone()), nn.Parameter(start.clone())
        self.item_inner, self.item_outer = nn.Linear(text_dim, HIDDEN), _zero(nn.Linear(HIDDEN, dim))
        self.text_inner, self.text_outer = nn.Linear(text_dim, HIDDEN), _zero(nn.Linear(HIDDEN, dim))
        self.words = nn.Parameter(torch.zeros(inputs.item_terms.shape[1], dim))
        self.items_own = nn.Parameter(torch.zeros(n_items, dim))
        self.query, self.text_token, self.item_token = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.hops = nn.ModuleList(_Hop(facts, training.dropout) for _ in range(facts.hops))
        self.out_norm, self.out = nn.LayerNorm(dim), _zero(nn.Linear(dim, dim))
        self.residual = nn.Parameter(torch.ones(1))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / _START_TEMPERATURE)))
        self.popularity_weight = nn.Parameter(torch.zeros(()))

    def items(self) -> Tensor:
        """Returns the output vectors of the catalogue, shape `(n_items, dim)`."""
        kept = self.warm[:, None]
        if self.training:
            kept = kept * (torch.rand_like(kept) >= self.settings.item_dropout)
        return self._outputs(
            "item", self.item_meaning, self.item_words(self.words, self.every_item) + kept * self.items_own
        )

    def texts(self, rows: Tensor) -> Tensor:
        """Returns the output vectors of some texts, shape `(len(rows), dim)`."""
        return self._outputs("text", self.text_meaning[rows], self.text_words(self.words, rows))

    def users(self, items: Tensor, batch: Batch) -> Tensor:
        """Returns the vectors of a batch's questions, shape `(users, questions, dim)`.

        Args:
            items: Output vectors, shape `(n_items, dim)`.
            batch: What is known and asked.
        """
        facts = self.facts
        root = math.sqrt(facts.dim)
        # Only the texts that the batch holds: most of them would be computed for nothing.
        rows, place = torch.unique(batch.tokens[batch.is_text] - len(items), return_inverse=True)
        tokens = batch.tokens.masked_scatter(batch.is_text, len(items) + place)
        outputs = torch.cat([items, self.texts(rows)])[tokens]
        tokens = torch.where(batch.is_text[..., None], self.text_token(root * outputs), self.item_token(root * outputs))
        seen = batch.seen
        share = torch.where(seen, facts.decay**batch.steps, 0.0)
        mean = F.normalize(share @ outputs, dim=-1)
        bias = torch.where(seen, -facts.slope * batch.steps, -torch.inf)
        bias = torch.where(seen.any(-1, keepdim=True), bias, 0.0)  # padding: attends to anything, is never asked
        query = self.query(root * mean)
        for hop in self.hops:
            query = hop(query, tokens, bias)
        return F.normalize(self.residual * mean + self.out(self.out_norm(query)), dim=-1)

    def loss(self, batch: Batch) -> Tensor:
        """Returns the cross-entropy of the batch's targets over the catalogue (or a uniform sample of a large one)."""
        items = self.items()
        users = self.users(items, batch).flatten(0, 1)
        asked, question = torch.unique(batch.question, return_inverse=True)
        columns, target = self._columns(batch.target, len(items))
        logits = (self.log_scale.exp() * users[asked] @ items[columns].T).float()
        logits = logits + self.popularity_weight * self.log_popularity[columns]
        log_likelihood = F.log_softmax(logits, dim=-1)[question, target]
        return -(batch.weight * log_likelihood).sum() / batch.weight.sum()

    def _columns(self, target: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
        """Returns the items that the softmax runs over, and where the targets are among them."""
        if n_items <= FULL_SOFTMAX:
            return torch.arange(n_items, device=target.device), target
        drawn = torch.cat([target, torch.randint(n_items, (_NEGATIVES,), device=target.device)])
        columns, place = torch.unique(drawn, return_inverse=True)
        return columns, place[: len(target)]

    def _outputs(self, side: str, meaning: Tensor, added: Tensor) -> Tensor:
        inner, outer = getattr(self, f"{side}_inner"), getattr(self, f"{side}_outer")
        # One mask of the inputs for all rows, laid on the weights: as good as one a row, and a fraction of the work.
        kept = F.dropout(meaning.new_ones(meaning.shape[1]), _INPUT_DROPOUT, self.training)
        hidden = F.gelu(F.linear(meaning, kept * inner.weight, inner.bias), approximate="tanh")
        network = outer(F.dropout(hidden, self.settings.dropout, self.training))
        return F.normalize(meaning @ getattr(self, f"{side}_projection") + network + added, dim=-1)


class _Words(nn.Module):
    """The known terms of a set of texts with their TF-IDF, ready to be summed up."""

    def __init__(self, terms: csr_matrix) -> None:
        super().__init__()
        self.columns: Tensor
        self.starts: Tensor
        self.values: Tensor
        for name, values in (
            ("columns", torch.from_numpy(terms.indices.astype(np.int64))),
            ("starts", torch.from_numpy(terms.indptr.astype(np.int64))),
            ("values", torch.from_numpy(terms.data.astype(np.float32))),
        ):
            self.register_buffer(name, values, persistent=False)

    def forward(self, words: Tensor, rows: Tensor) -> Tensor:
        """Returns what some texts' words add, shape `(len(rows), dim)`; some words are left out in training."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        ends = lengths.cumsum(0)
        # Where each term of the chosen texts is among all: its number, shifted by its text's start.
        shift = torch.repeat_interleave(self.starts[rows] - (ends - lengths), lengths)
        chosen = torch.arange(len(shift), device=shift.device) + shift
        values = F.dropout(self.values[chosen], _WORD_DROPOUT, self.training)
        return F.embedding_bag(self.columns[chosen], words, ends - lengths, mode="sum", per_sample_weights=values)


class _Hop(nn.Module):
    """One look of the questions at the tokens."""

    def __init__(self, facts: TowerFacts, dropout: float) -> None:
        super().__init__()
        dim = facts.dim
        self.heads, self.rate = facts.heads, dropout
        self.query_norm, self.token_norm, self.inner_norm = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.asked, self.read, self.found = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.inner, self.outer = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, query: Tensor, tokens: Tensor, bias: Tensor) -> Tensor:
        """Returns the questions after the look, shape `(users, questions, dim)`."""
        users, questions, dim = query.shape
        heads, width = self.heads, dim // self.heads
        asked = self.asked(self.query_norm(query)).view(users, questions, heads, width).transpose(1, 2)
        read = self.read(self.token_norm(tokens)).view(users, tokens.shape[1], 2, heads, width)
        keys, values = read.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(asked, keys, values, attn_mask=bias[:, None])
        found = self.found(found.transpose(1, 2).reshape(users, questions, dim))
        query = query + F.dropout(found, self.rate, self.training)
        hidden = F.dropout(F.gelu(self.inner(self.inner_norm(query)), approximate="tanh"), self.rate, self.training)
        return query + F.dropout(self.outer(hidden), self.rate, self.training)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
