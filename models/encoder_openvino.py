"""The encoder on a CPU: OpenVINO and the tokenizers library, no torch.

The graph has pooling and normalisation inside, so a text is one tokenisation and one inference.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import cpu
from models.encoder import EncoderFacts, Prompting, QueryRuntime
from models.errors import EncoderError
from models.graph_forms import GraphForms
from models.graph_inputs import graph_inputs, padded
from models.tokens import load_tokenizer, token_reader
from models.types import Matrix, Vector

GRAPH = "openvino_model.xml"
# Tokens of a batch: larger ones leave the core's cache, smaller ones waste calls.
_BATCH_TOKENS = 1024
# Texts that are tokenised at a time.
_PIECE = 1024


@dataclass(frozen=True, slots=True)
class GraphRuntime:
    """How OpenVINO runs the encoder.

    Attributes:
        graph: The graph's file.
        precision: What it computes in where the graph itself says nothing.
        needs: What the CPU must be good at, in words, and whether it is.
        group: Neighbouring activations that share a scale when they are quantised on the fly.
    """

    graph: str
    precision: str
    needs: tuple[str, Callable[[], bool]] | None = None
    group: int | None = None

    @property
    def runs_here(self) -> bool:
        """Whether this machine's CPU is good at it."""
        return self.needs is None or self.needs[1]()


_INT8 = ("int8 dot products", cpu.has_int8)
GRAPH_RUNTIMES: Mapping[QueryRuntime, GraphRuntime] = {
    "openvino-f32": GraphRuntime(GRAPH, "f32"),
    "openvino-bf16": GraphRuntime(GRAPH, "bf16", ("bfloat16", cpu.has_bfloat16)),
    "openvino-int8-weights": GraphRuntime("openvino_int8_weights.xml", "f32", _INT8, group=128),
    "openvino-int8": GraphRuntime("openvino_int8.xml", "f32", _INT8),
}


class OpenVINOEncoder(Prompting):
    """The encoder's OpenVINO runtime.

    Args:
        folder: Holds the graph and the tokenizer.
        facts: The manifest's description.
        threads: Cores to use; as many inferences run side by side, one core each.

    Raises:
        EncoderError: A file is missing or can't be read, or the CPU isn't made for the runtime that the facts name.
    """

    def __init__(self, folder: Path, facts: EncoderFacts, threads: int) -> None:
        runtime = GRAPH_RUNTIMES[facts.query_runtime]
        if runtime.needs is not None and not runtime.runs_here:
            raise EncoderError(f"{facts.query_runtime} needs a CPU with {runtime.needs[0]}, this one has none")
        config = {
            "INFERENCE_PRECISION_HINT": runtime.precision,
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # Two processes that pin to the same core leave the other idle.
            "ENABLE_CPU_PINNING": False,
        }
        if runtime.group is not None:
            config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = runtime.group
        try:
            self._tokenizer = load_tokenizer(folder, facts.max_tokens)
            self._tokens = token_reader(self._tokenizer, facts.max_tokens)
            self._forms = GraphForms(folder / runtime.graph, config)
        except Exception as error:  # tokenizers raises bare Exception, OpenVINO RuntimeError
            raise EncoderError(f"{folder} holds no usable OpenVINO encoder ({error}); rebuild the artifact") from error
        super().__init__(facts)
        self._threads = threads

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Returns the unit vector of a user text, shape `(dim,)`, and whether the text was cut. Thread-safe."""
        tokens, was_cut = self._tokens(self._facts.prompts.user + text)
        return self._forms.infer(graph_inputs([tokens], self._facts.max_tokens))[0], was_cut

    def _encode_many(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        vectors = np.empty((len(texts), self._facts.dim), np.float32)
        # Texts of like length share a batch, so little is padded; long first, so that memory peaks at once.
        order = np.argsort([-len(text) for text in texts], kind="stable")
        # Threads of our own: Python called from OpenVINO's can wait for the interpreter's lock while whoever holds it
        # waits for that thread to end.
        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(0, len(order), _PIECE):
                rows = order[start : start + _PIECE]
                encodings = self._tokenizer.encode_batch([texts[row] for row in rows])
                tokens = [encoding.ids for encoding in encodings]
                batches = list(_batches(list(map(len, tokens))))
                inputs = (graph_inputs([tokens[n] for n in batch], self._facts.max_tokens) for batch in batches)
                for batch, found in zip(batches, pool.map(self._forms.infer, inputs), strict=True):
                    vectors[rows[batch]] = found
                    on_done(len(batch))
        return vectors


def _batches(lengths: Sequence[int]) -> Iterator[NDArray[np.intp]]:
    """Yields which texts go together, longest first: so many that they hold `_BATCH_TOKENS` with what is padded."""
    order = np.argsort([-length for length in lengths], kind="stable")
    start = 0
    while start < len(order):
        size = max(1, _BATCH_TOKENS // padded(lengths[order[start]]))
        yield order[start : start + size]
        start += size
