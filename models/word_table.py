"""The word embeddings of an encoder's graph, taken out of it and looked up by numpy.

OpenVINO would hold the whole table in float32, once for each compiled form; a text needs its own rows alone, and these
stay in the graph's memory-mapped file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.openvino_runtime import ov

_IDS, WORDS = "input_ids", "word_embeddings"
Take: TypeAlias = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Token ids, shape `(n, length)`, to the rows of one node."""
_ARITHMETIC = {"Multiply": np.multiply, "Subtract": np.subtract, "Add": np.add}


@dataclass(frozen=True, slots=True, eq=False)
class WordTable:
    """The rows of a graph's word embeddings.

    Attributes:
        take: Returns the embeddings of token ids, shape `(n, length)` → `(n, length, dim)`.
        shape: Tokens that it knows and their dimensions.
    """

    take: Take
    shape: tuple[int, int]

    def beside(self, inputs: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[Any]]:
        """Returns the graph's inputs with the words' embeddings."""
        return {**inputs, WORDS: self.take(inputs[_IDS])}


def take_out_words(graph: Any) -> WordTable | None:  # noqa: ANN401  # openvino ships no types
    """Makes the word embeddings an input of the graph and returns their table.

    Args:
        graph: Of the encoder; changed in place. Where it doesn't look words up in one table of constants, it stays as
            it is.

    Returns:
        The table, or None where the graph has kept it.
    """
    lookups = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Gather" and _reads_ids(node)]
    if len(lookups) != 1:
        return None
    lookup = lookups[0]
    table, axis = lookup.input_value(0), lookup.input_value(2).get_node()
    shape = table.get_partial_shape()
    take = _taker(table.get_node(), shape[0].get_length() if shape.is_static else 0)
    if take is None or len(shape) != 2 or int(axis.data) != 0:
        return None
    dim = shape[1].get_length()
    words = ov.opset13.parameter([-1, -1, dim], np.float32, name=WORDS)
    words.output(0).set_names({WORDS})
    for reader in lookup.output(0).get_target_inputs():
        reader.replace_source_output(words.output(0))
    graph.add_parameters([words])
    graph.validate_nodes_and_infer_types()
    return WordTable(take, (shape[0].get_length(), dim))


def _reads_ids(gather: Any) -> bool:  # noqa: ANN401  # openvino ships no types
    node = gather.input_value(1).get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Parameter" and _IDS in node.output(0).get_names()


def _taker(node: Any, n_tokens: int) -> Take | None:  # noqa: ANN401  # openvino ships no types
    """Returns what computes some rows of a node over constants; None where it is anything else.

    Quantised tables are (integers - zero point) · scale, and scale and zero point may have a row a token, too.
    """
    kind = node.get_type_name()
    if kind == "Constant":
        data = node.data  # a view of the graph's file
        if data.ndim and data.shape[0] == n_tokens:
            return lambda ids: data[ids]
        return lambda ids: data
    parts = [_taker(value.get_node(), n_tokens) for value in node.input_values()]
    if kind == "Convert" and parts[0] is not None:
        take = parts[0]
        return lambda ids: take(ids).astype(np.float32)
    if kind in _ARITHMETIC and None not in parts:
        operate = _ARITHMETIC[kind]
        left, right = (part for part in parts if part is not None)
        return lambda ids: operate(left(ids), right(ids))
    return None
