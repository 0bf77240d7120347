"""The tower in torch: what `models.tower` computes in numpy, with dropout, a loss and what is learnt.

How it is fitted is `models.training.tower`'s business.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.tower import HIDDEN, TowerFacts
from models.training.dropout import dropout
from models.training.filled import filled
from models.training.softmax_loss import Asks, cross_entropy
from models.training.tower_examples import Batch
from models.training.tower_inputs import TowerTables

# Above so many items the softmax runs over the batch's targets and as many uniform negatives as there are below.
FULL_SOFTMAX = 30_000
_NEGATIVES = 8_192
_INPUT_DROPOUT = 0.2
_WORD_DROPOUT = 0.5
_START_TEMPERATURE = 0.1


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

    epochs: int
    learning_rate: float = 3e-3
    batch: int = 512
    dropout: float = 0.3
    item_dropout: float = 0.3
    weight_decay: float = 1e-2


class TowerModule(nn.Module):
    """One member of a tower in torch, fed by batches of users.

    Args:
        tables: What it reads, on its device.
        facts: Its shape.
        training: How it is fitted.
        generator: Of what is drawn while it is fitted, on its device.
    """

    def __init__(
        self, tables: TowerTables, facts: TowerFacts, training: TowerTraining, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.tables, self.facts, self.settings, self._generator = tables, facts, training, generator
        text_dim, dim = tables.start.shape
        self.item_projection, self.text_projection = (
            nn.Parameter(tables.start.clone()),
            nn.Parameter(tables.start.clone()),
        )
        self.item_inner, self.item_outer = nn.Linear(text_dim, HIDDEN), _zero(nn.Linear(HIDDEN, dim))
        self.text_inner, self.text_outer = nn.Linear(text_dim, HIDDEN), _zero(nn.Linear(HIDDEN, dim))
        self.words = nn.Parameter(torch.zeros(tables.n_terms, dim))
        self.items_own = nn.Parameter(torch.zeros(tables.n_items, dim))
        self.query, self.text_token, self.item_token = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.hops = nn.ModuleList(_Hop(facts) for _ in range(facts.hops))
        self.out_norm, self.out = nn.LayerNorm(dim), _zero(nn.Linear(dim, dim))
        self.residual = nn.Parameter(torch.ones(1))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / _START_TEMPERATURE)))
        self.popularity_weight = nn.Parameter(torch.zeros(()))

    def items(self) -> Tensor:
        """Returns the output vectors of the catalogue, shape `(n_items, dim)`."""
        kept = self.tables.warm[:, None]
        if self.training:
            drawn = torch.rand(kept.shape, generator=self._generator, device=kept.device)
            kept = kept * (drawn >= self.settings.item_dropout)
        words = self.tables.item_terms(self.words, self._rate(_WORD_DROPOUT), self._generator)
        return self._outputs("item", self.tables.item_meaning(), words + kept * self.items_own)

    def texts(self, rows: Tensor) -> Tensor:
        """Returns the output vectors of some texts, shape `(len(rows), dim)`."""
        words = self.tables.text_terms(self.words, rows, self._rate(_WORD_DROPOUT), self._generator)
        return self._outputs("text", self.tables.texts[rows], words)

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
        outputs = F.embedding(tokens, torch.cat([items, self.texts(filled(rows))]))
        tokens = torch.where(batch.is_text[..., None], self.text_token(root * outputs), self.item_token(root * outputs))
        seen = batch.seen
        share = torch.where(seen, facts.decay**batch.steps, 0.0)
        mean = F.normalize(share @ outputs, dim=-1)
        bias = torch.where(seen, -facts.slope * batch.steps, -torch.inf)
        bias = torch.where(seen.any(-1, keepdim=True), bias, 0.0)  # padding: attends to anything, is never asked
        query = self.query(root * mean)
        for hop in self.hops:
            query = hop(query, tokens, bias, self._dropped)
        return F.normalize(self.residual * mean + self.out(self.out_norm(query)), dim=-1)

    def loss(self, batch: Batch) -> Tensor:
        """Returns the cross-entropy of the batch's targets over the catalogue (or a uniform sample of a large one)."""
        items = self.items()
        users = self.users(items, batch).flatten(0, 1)
        asked, question = torch.unique(batch.question, return_inverse=True)
        popularity, target = self.tables.popularity, batch.target
        if len(items) > FULL_SOFTMAX:
            uniform = torch.randint(len(items), (_NEGATIVES,), generator=self._generator, device=target.device)
            columns, place = torch.unique(torch.cat([target, uniform]), return_inverse=True)
            items, popularity, target = items[columns], popularity[columns], place[: len(target)]
        asks = Asks(question, target, batch.weight)
        return cross_entropy(self.log_scale.exp() * users[asked], items, self.popularity_weight * popularity, asks)

    def _outputs(self, side: str, meaning: Tensor, added: Tensor) -> Tensor:
        inner, outer = getattr(self, f"{side}_inner"), getattr(self, f"{side}_outer")
        projection = getattr(self, f"{side}_projection")
        # One mask of the inputs for all rows, laid on the weights: as good as one a row, and a fraction of the work.
        kept = dropout(meaning.new_ones(meaning.shape[1]), self._rate(_INPUT_DROPOUT), self._generator)
        # One product for network and projection: the inputs are read once.
        read = meaning @ torch.cat([(kept * inner.weight).T, projection], dim=1)
        hidden, projected = torch.split(read, [HIDDEN, projection.shape[1]], dim=1)
        hidden = F.gelu(hidden + inner.bias.to(hidden.dtype), approximate="tanh")
        network = outer(self._dropped(hidden))
        return F.normalize(projected + network + added, dim=-1)

    def _dropped(self, values: Tensor) -> Tensor:
        return dropout(values, self._rate(self.settings.dropout), self._generator)

    def _rate(self, of_training: float) -> float:
        return of_training if self.training else 0.0


class _Hop(nn.Module):
    """One look of the questions at the tokens."""

    def __init__(self, facts: TowerFacts) -> None:
        super().__init__()
        dim = facts.dim
        self.heads = facts.heads
        self.query_norm, self.token_norm, self.inner_norm = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.asked, self.read, self.found = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.inner, self.outer = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, query: Tensor, tokens: Tensor, bias: Tensor, dropped: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns the questions after the look, shape `(users, questions, dim)`.

        Args:
            query: Of the questions, shape `(users, questions, dim)`.
            tokens: Shape `(users, L, dim)`.
            bias: Of each question for each token, shape `(users, questions, L)`.
            dropped: Leaves out some of the values.
        """
        users, questions, dim = query.shape
        heads, width = self.heads, dim // self.heads
        asked = self.asked(self.query_norm(query)).view(users, questions, heads, width).transpose(1, 2)
        read = self.read(self.token_norm(tokens)).view(users, tokens.shape[1], 2, heads, width)
        keys, values = read.permute(2, 0, 3, 1, 4)
        query = query + dropped(self.found(_attention(asked, keys, values, bias).view(users, questions, dim)))
        hidden = dropped(F.gelu(self.inner(self.inner_norm(query)), approximate="tanh"))
        return query + dropped(self.outer(hidden))


def _attention(asked: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Returns what each question finds, shape `(users, questions, heads, width)`."""
    device = asked.device.type
    # Torch's attention on a CPU takes three times as long in bfloat16 as in float32.
    with torch.autocast(device, enabled=device != "cpu" and torch.is_autocast_enabled(device)):
        if device == "cpu":
            asked, keys, values = asked.float(), keys.float(), values.float()
        found = F.scaled_dot_product_attention(asked, keys, values, attn_mask=bias[:, None])
    return found.transpose(1, 2).contiguous()


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
