"""What a softmax's cross-entropy over a catalogue says of its logits, compiled: for fitting on a CPU in bfloat16."""

import numpy as np
from numpy.typing import NDArray

from models.native.arrays import floats, pointer
from models.native.library import FFI, LIBRARY
from models.types import Rows, Vector


def softmax_gradient(
    logits: NDArray[np.uint16], bias: Vector, question: Rows, target: Rows, weight: Vector
) -> tuple[Vector, Vector]:
    """Turns logits into the gradient by them of -Σ weight · log softmax(logits + bias) at the targets.

    Args:
        logits: bfloat16 as its bits, shape `(q, n)`; overwritten.
        bias: Of the items, shape `(n,)`.
        question: Row of each target's question, shape `(n_targets,)`.
        target: Column of each, shape `(n_targets,)`.
        weight: Of each, shape `(n_targets,)`.

    Returns:
        The targets' log likelihood, shape `(n_targets,)`, and the gradient by the bias, shape `(n,)`.

    Raises:
        ValueError: The bias is of another length than the logits, question, target and weight are of different ones, or
            a question or target lies outside the logits.
    """
    (q, n), lengths = logits.shape, (len(question), len(target), len(weight))
    if len(bias) != n or len(set(lengths)) > 1:
        raise ValueError(f"logits of shape {logits.shape}, {len(bias)} biases; questions, targets, weights: {lengths}")
    for numbers, end, name in ((question, q, "question"), (target, n, "target")):  # they would be written to
        if not np.all((numbers >= 0) & (numbers < end)):
            raise ValueError(f"a {name} is {numbers.min()} or {numbers.max()}, logits have shape {logits.shape}")
    order = np.argsort(question, kind="stable")
    counts, target = np.bincount(question, minlength=q), np.ascontiguousarray(target[order], np.int64)
    weight, bias = floats(weight[order]), floats(bias)
    share, first = floats(np.bincount(question[order], weight, minlength=q)), np.zeros(q + 1, np.int64)
    first[1:] = np.cumsum(counts)
    values, of_bias, likelihood = np.empty(n, np.float32), np.zeros(n, np.float32), np.empty(len(order), np.float32)
    struct = FFI.new("Softmax *")
    struct.n_questions, struct.n_items, struct.logits = q, n, pointer(logits)
    struct.bias, struct.share, struct.first = pointer(bias), pointer(share), pointer(first)
    struct.target, struct.weight, struct.values = pointer(target), pointer(weight), pointer(values)
    struct.of_bias, struct.likelihood = pointer(of_bias), pointer(likelihood)
    LIBRARY.recall_softmax(struct)
    found = np.empty_like(likelihood)
    found[order] = likelihood
    return found, of_bias
