from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.openvino_runtime import CORE, ov
from models.word_table import take_out_words

ops = ov.opset13
N_TOKENS, DIM = 50, 8
IDS = np.array([[3, 49, 0], [7, 7, 20]], np.int64)


def _float32(rng: np.random.Generator) -> Any:
    return ops.constant(rng.normal(size=(N_TOKENS, DIM)).astype(np.float32))


def _float16(rng: np.random.Generator) -> Any:
    return ops.convert(ops.constant(rng.normal(size=(N_TOKENS, DIM)).astype(np.float16)), np.float32)


def _int8(rng: np.random.Generator) -> Any:
    integers = ops.constant(rng.integers(-128, 128, (N_TOKENS, DIM)).astype(np.int8))
    scale = ops.constant(rng.random((N_TOKENS, 1)).astype(np.float32))
    return ops.multiply(ops.convert(integers, np.float32), scale)


def _uint8_with_zero_point(rng: np.random.Generator) -> Any:
    integers = ops.constant(rng.integers(0, 256, (N_TOKENS, DIM)).astype(np.uint8))
    zero = ops.constant(rng.integers(0, 256, (N_TOKENS, 1)).astype(np.uint8))
    shifted = ops.subtract(ops.convert(integers, np.float32), ops.convert(zero, np.float32))
    return ops.multiply(shifted, ops.constant(np.float32(0.01)))


def _graph(table: Any, axis: int = 0) -> Any:
    ids = ops.parameter([-1, -1], np.int64, name="input_ids")
    ids.output(0).set_names({"input_ids"})
    found = ops.gather(table, ops.convert(ids, np.int32), ops.constant(np.int64(axis)))
    return ov.Model([ops.multiply(found, ops.constant(np.float32(2)))], [ids], "words")


@pytest.mark.parametrize("table", [_float32, _float16, _int8, _uint8_with_zero_point])
def test_a_graph_answers_alike_without_its_words(table: Callable[[np.random.Generator], Any]) -> None:
    graph = _graph(table(np.random.default_rng(0)))
    expected = CORE.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"input_ids": IDS})[0]
    words = take_out_words(graph)
    assert words is not None
    assert words.shape == (N_TOKENS, DIM)
    without = CORE.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(without(words.beside({"input_ids": IDS}))[0], expected, rtol=1e-6)


def test_a_graph_that_computes_its_table_keeps_it() -> None:
    graph = _graph(ops.tanh(_float32(np.random.default_rng(0))))
    assert take_out_words(graph) is None
    assert [value.any_name for value in graph.inputs] == ["input_ids"]


def test_a_graph_that_looks_up_along_another_axis_keeps_its_table() -> None:
    assert take_out_words(_graph(_float32(np.random.default_rng(0)), axis=1)) is None


def test_a_graph_with_two_tables_for_words_keeps_both() -> None:
    ids = ops.parameter([-1, -1], np.int64, name="input_ids")
    ids.output(0).set_names({"input_ids"})
    rng, axis = np.random.default_rng(0), ops.constant(np.int64(0))
    found = ops.add(ops.gather(_float32(rng), ids, axis), ops.gather(_float32(rng), ids, axis))
    assert take_out_words(ov.Model([found], [ids], "two")) is None
