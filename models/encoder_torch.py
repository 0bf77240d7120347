"""The encoder in torch, through sentence-transformers: for GPUs, and for models that can't be exported."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers.utils.logging import disable_progress_bar

from models.encoder import EncoderFacts, QueryRuntime
from models.errors import EncoderError
from models.types import Matrix, Vector

_BATCH = 32
# Sorting needs all lengths, progress needs pieces: so many batches are handed over at a time.
_PIECE = 16 * _BATCH


class TorchEncoder:
    """The encoder's torch runtime.

    Args:
        folder: A sentence-transformers model.
        facts: The manifest's description.
        device: "cuda", "mps", "cpu", or None for the best there is.
        dtype: Number format of weights and activations.

    Raises:
        EncoderError: The folder holds no model that loads.
    """

    def __init__(
        self,
        folder: Path,
        facts: EncoderFacts,
        *,
        device: str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        disable_progress_bar()  # type: ignore[no-untyped-call]  # its bar for weights ends up in logs
        try:
            model = SentenceTransformer(
                str(folder), device=device, model_kwargs={"dtype": dtype}, local_files_only=True
            )
        except Exception as error:  # each kind of model fails in its own way
            raise EncoderError(f"{folder} holds no usable sentence-transformers model: {error}") from error
        model.max_seq_length = facts.max_tokens
        self.runtime: QueryRuntime = facts.query_runtime
        self._model = model.eval()
        self._facts = facts
        self._lock = threading.Lock()  # Hugging Face's fast tokenizers fail with "Already borrowed" across threads

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Returns the unit vector of a user text, shape `(dim,)`, and whether the text was cut. Thread-safe."""
        with self._lock:
            vector = self._encode([text], self._facts.prompts.user)[0]
            tokens = self._model.tokenizer(self._facts.prompts.user + text, verbose=False)["input_ids"]
        return vector, len(tokens) > self._facts.max_tokens

    def encode_users(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of many user texts, shape `(n, dim)`; tells `on_done` how many more are ready."""
        with self._lock:
            return self._encode_many(self._facts.prompts.user, texts, on_done)

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        """Returns the unit vectors of item texts, shape `(n, dim)`; tells `on_done` how many more are ready."""
        return self._encode_many(self._facts.prompts.item, texts, on_done)

    def _encode_many(self, prompt: str, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        vectors = np.empty((len(texts), self._facts.dim), np.float32)
        order = np.argsort([-len(text) for text in texts], kind="stable")
        for start in range(0, len(order), _PIECE):
            rows = order[start : start + _PIECE]
            vectors[rows] = self._encode([texts[row] for row in rows], prompt)
            on_done(len(rows))
        return vectors

    def _encode(self, texts: list[str], prompt: str) -> Matrix:
        vectors = self._model.encode(
            texts, prompt=prompt, batch_size=_BATCH, show_progress_bar=False, convert_to_tensor=True
        )
        vectors = torch.nn.functional.normalize(vectors[:, : self._facts.dim].float(), dim=-1)
        return np.asarray(vectors.cpu().numpy(), np.float32)


def query_encoder(folder: Path, facts: EncoderFacts) -> TorchEncoder:
    """Returns the query runtime that the facts name, on the best device there is.

    Raises:
        EncoderError: It is half precision and there is no GPU, or the folder holds no model that loads.
    """
    if facts.query_runtime == "torch-f32":
        return TorchEncoder(folder, facts)
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise EncoderError(f"{facts.query_runtime} needs a GPU, torch {torch.__version__} sees none")
    return TorchEncoder(folder, facts, dtype=torch.float16)
