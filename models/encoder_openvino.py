"""The encoder on a CPU: OpenVINO and the tokenizers library, no torch.

The graph has pooling and normalisation inside, so a text is one tokenisation and one inference.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from models.encoder import EncoderFacts
from models.errors import EncoderError
from models.openvino_runtime import ov
from models.types import Matrix, Vector

GRAPH = "openvino_model.xml"
TOKENIZER = "tokenizer.json"
_BATCH = 32


class OpenVINOEncoder:
    """The encoder's OpenVINO runtime.

    Args:
        folder: Holds the graph and the tokenizer.
        facts: The manifest's description.
        threads: Cores to use; as many inferences run side by side, one core each.

    Raises:
        EncoderError: A file is missing or can't be read.
    """

    def __init__(self, folder: Path, facts: EncoderFacts, threads: int) -> None:
        config = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            self._graph = ov.Core().compile_model(folder / GRAPH, "CPU", config)
        except Exception as error:  # tokenizers raises bare Exception, OpenVINO RuntimeError
            raise EncoderError(f"{folder} holds no usable OpenVINO encoder ({error}); rebuild the artifact") from error
        self._tokenizer.enable_truncation(facts.max_tokens)
        self._tokenizer.no_padding()
        self._facts = facts
        self._threads = threads
        self._local = threading.local()

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Returns the unit vector of a user text, shape `(dim,)`, and whether the text was cut. Thread-safe."""
        encoding = self._tokenizer.encode(self._facts.prompts.user + text)
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._graph.create_infer_request()
        vector = request.infer(_inputs([encoding]))[0][0]
        return np.array(vector, np.float32), bool(encoding.overflowing)

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of item texts, shape `(n, dim)`; tells `on_done` how many more are ready."""
        vectors = np.empty((len(texts), self._facts.dim), np.float32)
        # Texts of like length share a batch, so little is padded; long first, so that memory peaks at once.
        order = np.argsort([-len(text) for text in texts], kind="stable")

        def keep(request: Any, rows: NDArray[np.intp]) -> None:  # noqa: ANN401  # openvino ships no types
            vectors[rows] = request.get_output_tensor(0).data
            on_done(len(rows))

        queue = ov.AsyncInferQueue(self._graph, self._threads)
        queue.set_callback(keep)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            batch = [self._facts.prompts.item + texts[row] for row in rows]
            queue.start_async(_inputs(self._tokenizer.encode_batch(batch)), userdata=rows)
        queue.wait_all()
        return vectors


def _inputs(encodings: Sequence[Encoding]) -> dict[str, NDArray[np.int64]]:
    longest = max(len(encoding.ids) for encoding in encodings)
    ids = np.zeros((len(encodings), longest), np.int64)
    mask = np.zeros((len(encodings), longest), np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask}
