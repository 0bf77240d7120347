"""Tokens → what the encoder's graph reads."""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Lengths up to the first number are multiples of the second: fine where most texts are, coarse where few are.
_STEPS = ((32, 8), (128, 16), (sys.maxsize, 32))


def graph_inputs(tokens: Sequence[Sequence[int]], max_tokens: int) -> dict[str, NDArray[np.int64]]:
    """Returns the graph's inputs, each of shape `(n, length)`: texts are padded to a common length and masked.

    Args:
        tokens: Of at least one text.
        max_tokens: The model takes no more.
    """
    length = min(padded(max(map(len, tokens))), max_tokens)
    ids = np.zeros((len(tokens), length), np.int64)
    mask = np.zeros((len(tokens), length), np.int64)
    for row, of_text in enumerate(tokens):
        ids[row, : len(of_text)] = of_text
        mask[row, : len(of_text)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def padded(length: int) -> int:
    """Returns the next of a few lengths: OpenVINO prepares, and keeps, kernels for every length that it meets."""
    step = next(step for below, step in _STEPS if length <= below)
    return -(-length // step) * step
