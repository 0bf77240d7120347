"""Text → what the encoder's graph reads: the tokenizers library, no torch."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

TOKENIZER = "tokenizer.json"
# Lengths up to the first number are multiples of the second: fine where most texts are, coarse where few are.
_STEPS = ((32, 8), (128, 16), (sys.maxsize, 32))


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """Loads the tokenizer of an encoder's folder; whatever it brings along, it cuts at `max_tokens` and never pads.

    Raises:
        Exception: There is none; the library has no class of its own for that.
    """
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(max_tokens)
    tokenizer.no_padding()
    return tokenizer


def graph_inputs(encodings: Sequence[Encoding], max_tokens: int) -> dict[str, NDArray[np.int64]]:
    """Returns the graph's inputs, each of shape `(n, length)`: texts are padded to a common length and masked.

    Args:
        encodings: At least one.
        max_tokens: The model takes no more.
    """
    longest = max(len(encoding.ids) for encoding in encodings)
    length = min(padded(longest), max_tokens)
    ids = np.zeros((len(encodings), length), np.int64)
    mask = np.zeros((len(encodings), length), np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def padded(length: int) -> int:
    """Returns the next of a few lengths: OpenVINO prepares, and keeps, kernels for every length that it meets."""
    step = next(step for below, step in _STEPS if length <= below)
    return -(-length // step) * step
