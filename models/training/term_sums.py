"""What the terms of texts add up to: TF-IDF times a vector for each term, some terms left out in training."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.training.dropout import dropout


class ChosenTermSums(nn.Module):
    """The known terms of texts with their TF-IDF; a few of the texts are summed up at a time."""

    def __init__(self, terms: csr_matrix) -> None:
        super().__init__()
        self.columns: Tensor
        self.starts: Tensor
        self.values: Tensor
        _register(self, columns=terms.indices, starts=terms.indptr, values=terms.data)

    def forward(self, words: Tensor, rows: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        """Returns what some texts' terms add.

        Args:
            words: Of each term, shape `(n_terms, dim)`.
            rows: Of the texts.
            rate: Share of the terms that is left out.
            generator: Draws which.

        Returns:
            Shape `(len(rows), dim)`.
        """
        lengths = self.starts[rows + 1] - self.starts[rows]
        ends = lengths.cumsum(0)
        # Where each term of the chosen texts is among all: its number, shifted by its text's start.
        shift = torch.repeat_interleave(self.starts[rows] - (ends - lengths), lengths)
        chosen = torch.arange(len(shift), device=shift.device) + shift
        values = dropout(self.values[chosen], rate, generator)
        return F.embedding_bag(self.columns[chosen], words, ends - lengths, mode="sum", per_sample_weights=values)


class TermSums(nn.Module):
    """The known terms of texts with their TF-IDF, by text and by term; all texts are summed up at once."""

    def __init__(self, terms: csr_matrix) -> None:
        super().__init__()
        # Where each value is, counted from 1: the table drops zeros.
        by_term = csr_matrix((np.arange(1, terms.nnz + 1), terms.indices, terms.indptr), terms.shape).tocsc()
        self.columns: Tensor
        self.starts: Tensor
        self.values: Tensor
        self.rows: Tensor
        self.term_starts: Tensor
        self.by_term: Tensor
        _register(
            self,
            columns=terms.indices,
            starts=terms.indptr[:-1],
            values=terms.data,
            rows=by_term.indices,
            term_starts=by_term.indptr[:-1],
            by_term=by_term.data - 1,
        )

    def forward(self, words: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        """Returns what the terms of all texts add.

        Args:
            words: Of each term, shape `(n_terms, dim)`.
            rate: Share of the terms that is left out.
            generator: Draws which.

        Returns:
            Shape `(n_texts, dim)`.
        """
        values = dropout(self.values, rate, generator)
        sums: Tensor = _TermSums.apply(words, self, values)  # type: ignore[no-untyped-call]  # torch ships it untyped
        return sums


class _TermSums(torch.autograd.Function):
    """A sparse product whose gradient is one, too, over the table by term: torch would sort the terms in each step."""

    @staticmethod
    def forward(ctx: Any, words: Tensor, terms: TermSums, values: Tensor) -> Tensor:  # noqa: ANN401  # torch's
        ctx.terms, ctx.values = terms, values
        return F.embedding_bag(terms.columns, words, terms.starts, mode="sum", per_sample_weights=values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401  # torch's
        terms, gradient = ctx.terms, outer.float().contiguous()
        values = ctx.values[terms.by_term]
        found = F.embedding_bag(terms.rows, gradient, terms.term_starts, mode="sum", per_sample_weights=values)
        return found, None, None


def _register(module: nn.Module, **arrays: np.ndarray[Any, Any]) -> None:
    """Makes arrays buffers of the module; what is not `values` is positions."""
    for name, array in arrays.items():
        kind = np.float32 if name == "values" else np.int64
        module.register_buffer(name, torch.from_numpy(array.astype(kind)), persistent=False)
