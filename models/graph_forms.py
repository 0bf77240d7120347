"""The encoder's graph, compiled: once for texts of any length, and once more for the length that comes most.

Where lengths change from text to text, OpenVINO prepares each kernel anew, which takes a third of an inference of a
small encoder. A form of a fixed length has nothing to prepare; it costs memory (50 MB of the default encoder), so there
is one, and none of large graphs, where preparing is little beside computing.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.openvino_runtime import ov
from models.types import Matrix
from models.word_table import WORDS, take_out_words

_log = logging.getLogger(__name__)

_MAX_FIXED = 1
_FIXED_AFTER = 256  # texts of one length, alone: fewer are no habit
_LARGE_GRAPH = 32_000_000  # bytes of constants, words aside


class GraphForms:
    """A graph, compiled.

    Args:
        path: The graph's file.
        config: Of the compilation.

    Raises:
        RuntimeError: OpenVINO can't read or compile it.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._graph = ov.Core().read_model(path)
        self._words = take_out_words(self._graph)
        self._any_length = self._compile(self._graph)
        self._fixed: dict[int, Any] = {}
        self._local = threading.local()
        self._seen: Counter[int] = Counter()
        self._room = _MAX_FIXED if self._words and _constant_bytes(self._graph) < _LARGE_GRAPH else 0
        self._compiler = ThreadPoolExecutor(1, "fixed-form")

    def infer(self, inputs: Mapping[str, NDArray[np.int64]]) -> Matrix:
        """Returns the vectors of texts, shape `(n, dim)`. Thread-safe.

        Args:
            inputs: As `graph_inputs` makes them, each of shape `(n, length)`.
        """
        n, length = inputs["input_ids"].shape
        form = length if n == 1 and length in self._fixed else None
        if n == 1 and form is None and self._room:
            self._count(length)
        read = self._words.beside(inputs) if self._words else inputs
        found = self._request(form).infer(read, share_inputs=True, share_outputs=True)
        return np.array(found[0], np.float32)  # a copy: the next inference writes into the same place

    @property
    def fixed(self) -> Set[int]:
        """The lengths that have a form of their own."""
        return frozenset(self._fixed)

    def settle(self) -> None:
        """Waits for the form that is being compiled."""
        self._compiler.submit(lambda: None).result()

    def _request(self, form: int | None) -> Any:  # noqa: ANN401  # openvino ships no types
        """Returns this thread's inference request for a form."""
        requests = getattr(self._local, "requests", None)
        if requests is None:
            requests = self._local.requests = {}
        request = requests.get(form)
        if request is None:
            graph = self._any_length if form is None else self._fixed[form]
            request = requests[form] = graph.create_infer_request()
        return request

    def _count(self, length: int) -> None:
        self._seen[length] += 1  # threads may lose one another's count; nothing hangs on one text
        if self._seen[length] == _FIXED_AFTER:
            self._room -= 1
            self._compiler.submit(self._fix, length).add_done_callback(_warn)

    def _fix(self, length: int) -> None:
        graph = self._graph.clone()
        dim = {WORDS: [1, length, self._words.shape[1]]} if self._words else {}
        graph.reshape({value.any_name: dim.get(value.any_name, [1, length]) for value in graph.inputs})
        self._fixed[length] = self._compile(graph)

    def _compile(self, graph: Any) -> Any:  # noqa: ANN401  # openvino ships no types
        return ov.Core().compile_model(graph, "CPU", self._config)


def _warn(work: Future[None]) -> None:
    if (error := work.exception()) is not None:
        _log.warning("texts of one length get no compiled form of their own: %s", error)


def _constant_bytes(graph: Any) -> int:  # noqa: ANN401  # openvino ships no types
    """Returns the size of what the results are computed from; a table that nobody reads any more isn't there."""
    return sum(node.get_byte_size() for node in graph.get_ordered_ops() if node.get_type_name() == "Constant")
