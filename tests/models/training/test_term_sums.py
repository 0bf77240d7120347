"""Sums of terms: what a sparse product gives, forwards and backwards; some left out in training."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from models.training.term_sums import ChosenTermSums, TermSums

DIM = 3


def table(seed: int, n_texts: int, n_terms: int, share: float = 0.4) -> csr_matrix:
    rng = np.random.default_rng(seed)
    values = rng.random((n_texts, n_terms)).astype(np.float32)
    return csr_matrix(np.where(rng.random(values.shape) < share, values, 0))


def vectors(seed: int, n_terms: int) -> torch.Tensor:
    return torch.randn(n_terms, DIM, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@given(seed=st.integers(0, 2**20), n_texts=st.integers(1, 8), n_terms=st.integers(0, 8), share=st.floats(0, 1))
def test_both_directions_are_the_sparse_product(seed: int, n_texts: int, n_terms: int, share: float) -> None:
    """Also for texts without terms, terms without texts, and no terms at all."""
    terms, words = table(seed, n_texts, n_terms, share), vectors(seed, n_terms)
    found = TermSums(terms)(words, 0.0, torch.Generator())
    dense = torch.from_numpy(terms.toarray())
    torch.testing.assert_close(found, dense @ words, rtol=1e-5, atol=1e-5)
    outer = torch.randn(found.shape, generator=torch.Generator().manual_seed(seed + 1))
    (gradient,) = torch.autograd.grad(found, words, outer)
    torch.testing.assert_close(gradient, dense.T @ outer, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [[2, 0, 2], [], [4]])
def test_chosen_texts_are_rows_of_the_sparse_product(rows: list[int]) -> None:
    terms, words = table(0, 5, 6), vectors(0, 6)
    found = ChosenTermSums(terms)(words, torch.tensor(rows, dtype=torch.int64), 0.0, torch.Generator())
    torch.testing.assert_close(found, torch.from_numpy(terms.toarray())[rows] @ words, rtol=1e-5, atol=1e-5)


def test_what_is_left_out_forwards_is_left_out_backwards() -> None:
    """A term that a text did without in this step learns nothing from it."""
    terms = csr_matrix(np.ones((40, 50), np.float32))
    words = torch.ones(50, DIM, requires_grad=True)
    found = TermSums(terms)(words, 0.5, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(found.sum(), words)
    assert 0 < found.unique().numel() < found.numel()
    torch.testing.assert_close(gradient.sum(), found.sum())
    assert found.sum().item() == pytest.approx(40 * 50 * DIM, rel=0.1)
