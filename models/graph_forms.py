"""The encoder's graph, compiled: once for texts of any length, and twice more for the length that comes most.

Where lengths change from text to text, OpenVINO prepares each kernel anew, which takes a third of an inference of a
small encoder. Forms of a fixed length have nothing to prepare: one runs on one core beside others, one runs alone on
several cores. They cost memory (50 and 36 MB of the default encoder), so there is one such length, and none of large
graphs, where preparing is little beside computing.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.openvino_runtime import CORE
from models.types import Matrix
from models.word_table import WORDS, take_out_words

_log = logging.getLogger(__name__)

_MAX_FIXED = 1
_FIXED_AFTER = 256  # texts of one length, alone: fewer are no habit
_LARGE_GRAPH = 32_000_000  # bytes of constants, words aside
_TOGETHER = 4  # cores that share one short text at most: each layer waits for the slowest of them


class _Form(NamedTuple):
    """What a compiled form is for."""

    length: int | None  # None: any
    alone: bool


_ANY = _Form(None, alone=False)


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
        self._graph = CORE.read_model(path)
        self._words = take_out_words(self._graph)
        self._forms: dict[_Form, Any] = {_ANY: self._compile(self._graph, self._config)}
        self._local = threading.local()
        self._running, self._lock = 0, threading.Lock()
        self._seen: Counter[int] = Counter()
        self._room = _MAX_FIXED if self._words and _constant_bytes(self._graph) < _LARGE_GRAPH else 0
        self._compiler = ThreadPoolExecutor(1, "fixed-form")

    def infer(self, inputs: Mapping[str, NDArray[np.int64]]) -> Matrix:
        """Returns the vectors of texts, shape `(n, dim)`. Thread-safe.

        Args:
            inputs: As `graph_inputs` makes them, each of shape `(n, length)`.
        """
        n, length = inputs["input_ids"].shape
        read = self._words.beside(inputs) if self._words else inputs
        with self._beside() as others:
            form = _Form(length, alone=not others) if n == 1 else _ANY
            if form not in self._forms:
                form = _ANY
                if n == 1 and self._room:
                    self._count(length)
            found = self._request(form).infer(read, share_inputs=True, share_outputs=True)
            return np.array(found[0], np.float32)  # a copy: the next inference writes into the same place

    @property
    def fixed(self) -> Set[int]:
        """The lengths that have forms of their own."""
        return frozenset(form.length for form in self._forms if form.length is not None)

    def settle(self) -> None:
        """Waits for the forms that are being compiled."""
        self._compiler.submit(lambda: None).result()

    @contextmanager
    def _beside(self) -> Iterator[int]:
        """Yields how many other inferences are running, and counts as one of them."""
        with self._lock:
            others = self._running
            self._running += 1
        try:
            yield others
        finally:
            with self._lock:
                self._running -= 1

    def _request(self, form: _Form) -> Any:  # noqa: ANN401  # openvino ships no types
        """Returns this thread's inference request for a form."""
        requests = getattr(self._local, "requests", None)
        if requests is None:
            requests = self._local.requests = {}
        request = requests.get(form)
        if request is None:
            request = requests[form] = self._forms[form].create_infer_request()
        return request

    def _count(self, length: int) -> None:
        with self._lock:
            self._seen[length] += 1
            if self._room <= 0 or self._seen[length] != _FIXED_AFTER:
                return
            self._room -= 1
        self._compiler.submit(self._fix, length).add_done_callback(_warn)

    def _fix(self, length: int) -> None:
        graph = self._graph.clone()
        dim = {WORDS: [1, length, self._words.shape[1]]} if self._words else {}
        graph.reshape({value.any_name: dim.get(value.any_name, [1, length]) for value in graph.inputs})
        beside = alone = self._compile(graph, self._config)
        threads = min(self._config["INFERENCE_NUM_THREADS"], _TOGETHER)
        if threads > 1:
            alone = self._compile(graph, {**self._config, "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads})
        self._forms = {**self._forms, _Form(length, alone=True): alone, _Form(length, alone=False): beside}

    def _compile(self, graph: Any, config: Mapping[str, Any]) -> Any:  # noqa: ANN401  # openvino ships no types
        return CORE.compile_model(graph, "CPU", config)


def _warn(work: Future[None]) -> None:
    if (error := work.exception()) is not None:
        _log.warning("texts of one length get no compiled form of their own: %s", error)


def _constant_bytes(graph: Any) -> int:  # noqa: ANN401  # openvino ships no types
    """Returns the size of what the results are computed from; a table that nobody reads any more isn't there."""
    return sum(node.get_byte_size() for node in graph.get_ordered_ops() if node.get_type_name() == "Constant")
