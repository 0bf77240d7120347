"""The encoder in int8, compiled: BERT and its kin, read from the model's own files, without OpenVINO or torch.

Weights are rounded row by row when it is loaded, activations on the fly. A text runs on one core, at its own length:
nothing is padded, nothing prepared for a length.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models import cpu
from models.encoder import EncoderFacts, Prompting
from models.errors import EncoderError
from models.native.arrays import Kept, aligned, pointer
from models.native.bert_files import BertFiles, BertShape
from models.native.library import FFI, LIBRARY, PROBLEM
from models.native.threads import Job
from models.tokens import load_tokenizer, token_reader
from models.types import Matrix, Vector

# Neighbours that share a factor in what a layer norm gives: there it matters. What other layers read is one group.
_GROUP = 128
_PIECE = 1024  # texts that wait for a thread at a time
# Threads that encode a text together each read all weights, and one has to be woken: fewer tokens than that for each
# take no less time.
_PART, _MOST_PARTS = 32, 4


class Kernel(Enum):
    """Which instructions compute it, by native.h's names, which also has their numbers."""

    PORTABLE = auto()
    AVX512 = auto()
    AMX = auto()


_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}
# Fastest first.
_FLAGS = {Kernel.AMX: {*_AVX512, "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"}, Kernel.AVX512: _AVX512}


def kernels() -> list[Kernel]:
    """Returns those that run on this machine, fastest first; none where there is no library."""
    if LIBRARY is None:
        return []
    known = cpu.flags() or frozenset()
    here = [one for one, flags in _FLAGS.items() if flags <= known and LIBRARY.recall_has_kernel(_number(one))]
    return [*here, Kernel.PORTABLE]


def _number(kernel: Kernel) -> int:
    return int(getattr(LIBRARY, kernel.name))


def runs_here() -> bool:
    """Whether this machine's CPU is good at it: where it isn't, OpenVINO is faster."""
    return len(kernels()) > 1


def suits(folder: Path) -> bool:
    """Whether this machine's CPU is good at it, and the model one that it computes.

    Args:
        folder: The model's files.
    """
    try:
        return runs_here() and _is_computed(BertFiles(folder).shape)
    except Exception:  # another kind of model has other files
        return False


Read: TypeAlias = tuple[Sequence[int], bool]
"""A text's token ids, and whether the text was cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """A text that is being encoded.

    Attributes:
        job: What the library's threads are given.
        vector: Where the text's unit vector comes, shape `(dim,)`.
        was_cut: Whether the text was longer than the encoder reads.
    """

    job: Job
    vector: Vector
    was_cut: bool

    @property
    def parts(self) -> int:
        """How many threads can do the job at the same time."""
        return int(self.job.struct.parts)

    def result(self) -> tuple[Vector, bool]:
        """Returns the vector and whether the text was cut, once the job is done.

        Raises:
            MemoryError: There was none for it.
        """
        text = self.job.struct
        if text.done <= (text.bert.n_blocks + 1) * text.parts:
            raise MemoryError(f"no memory to encode {text.n} tokens")
        return self.vector, self.was_cut


class NativeEncoder(Prompting):
    """The encoder's compiled runtime.

    Args:
        folder: Holds the model, as sentence-transformers saves it, and its tokenizer.
        facts: The manifest's description.
        threads: Texts that are encoded side by side where there are many, one core each.
        kernel: Which instructions to use; the fastest if None.

    Raises:
        EncoderError: There is no library, the CPU isn't made for it, or the model is none that it computes.
    """

    def __init__(self, folder: Path, facts: EncoderFacts, threads: int, kernel: Kernel | None = None) -> None:
        if LIBRARY is None:
            raise EncoderError(f"{facts.query_runtime} needs the compiled library: {PROBLEM}")
        if not (runs_here() if kernel is None else kernel in kernels()):
            raise EncoderError(f"{facts.query_runtime} needs a CPU with AVX-512's int8 dot products, this one has none")
        super().__init__(facts)
        self._kernel = _number(kernels()[0] if kernel is None else kernel)
        self._threads = threads
        self._kept = Kept()
        try:
            tokenizer = load_tokenizer(folder, facts.max_tokens)
            self._tokens = token_reader(tokenizer, facts.max_tokens)
            files = BertFiles(folder)
            self._native = self._fill(files)
        except EncoderError:
            raise
        except Exception as error:  # tokenizers raises bare Exception, broken files whatever they lead to
            raise EncoderError(f"{folder} holds no usable model ({error}); rebuild the artifact") from error
        n_tokens = tokenizer.get_vocab_size()
        self._most = len(files.words), len(files.positions)
        if n_tokens > self._most[0] or facts.max_tokens > self._most[1] or facts.dim > files.shape.dim:
            raise EncoderError(
                f"the tokenizer knows {n_tokens} tokens and may give {facts.max_tokens} of a text, vectors have"
                f" {facts.dim} dimensions; the model in {folder} has {self._most[0]} tokens, {self._most[1]} positions"
                f" and {files.shape.dim} dimensions; rebuild the artifact"
            )

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        """Returns the unit vector of a user text, shape `(dim,)`, and whether the text was cut. Thread-safe."""
        return self._encode(self._facts.prompts.user + text)

    def read(self, text: str) -> Read:
        """Returns a user text as it is encoded. Thread-safe."""
        return self._tokens(self._facts.prompts.user + text)

    def encoding(self, read: Read, threads: int = 1) -> Encoding:
        """Returns the encoding of a user text as a job for the library's threads.

        Args:
            read: The text.
            threads: How many have nothing else to do; a short text is one's work all the same.

        Raises:
            EncoderError: The text has no token, or more than the model can read.
        """
        return self._encoding(*read, threads)

    def _encode_many(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        vectors = np.empty((len(texts), self._facts.dim), np.float32)
        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(0, len(texts), _PIECE):
                piece = texts[start : start + _PIECE]
                found = pool.map(self._encode, piece)
                for row, (vector, _) in enumerate(found, start):
                    vectors[row] = vector
                    on_done(1)
        return vectors

    def _encode(self, text: str) -> tuple[Vector, bool]:
        encoding = self._encoding(*self._tokens(text))
        LIBRARY.recall_encode(encoding.job.struct)
        return encoding.result()

    def _encoding(self, tokens: Sequence[int], was_cut: bool, threads: int = 1) -> Encoding:
        if not tokens:
            raise EncoderError("the tokenizer made no token of a text; use a model whose tokenizer adds special ones")
        ids, vector = np.array(tokens, np.int32), np.empty(self._facts.dim, np.float32)
        if len(ids) > self._most[1] or not 0 <= ids.min() <= ids.max() < self._most[0]:
            raise EncoderError(
                f"the tokenizer gives {len(ids)} tokens up to number {ids.max()}, the model has {self._most[0]} and"
                f" {self._most[1]} positions; rebuild with a tokenizer of the model"
            )
        parts = max(1, min(threads, _MOST_PARTS, len(ids) // _PART))
        n_bytes = 0 if parts == 1 else LIBRARY.recall_space(self._native, len(ids), parts)
        space = np.empty(n_bytes, np.uint8)
        where = FFI.NULL if parts == 1 else pointer(space)
        numbers = len(ids), parts, where, pointer(vector), self._kernel, 0, 0
        text = FFI.new("Text *", (self._native, pointer(ids), *numbers))
        kept = self._native, self._kept, ids, vector, space
        return Encoding(Job(LIBRARY.recall_encode, text, kept), vector, was_cut)

    def _fill(self, files: BertFiles) -> Any:  # noqa: ANN401  # cffi's structs have no type
        """Returns the model as the library reads it."""
        shape = files.shape
        if not _is_computed(shape):
            raise EncoderError(f"no {self.runtime} of a model with {shape}")
        bert, blocks = FFI.new("Bert *"), FFI.new("Block[]", shape.blocks)
        bert.dim, bert.hidden, bert.heads, bert.n_blocks = shape.dim, shape.hidden, shape.heads, shape.blocks
        bert.out_dim, bert.is_mean, bert.epsilon = self._facts.dim, files.pools_mean, files.epsilon
        bert.words, bert.positions = self._kept.floats(files.words), self._kept.floats(files.positions)
        bert.padding, bert.padding_position = files.padding, self._kept.floats(files.padding_position)
        bert.type, bert.blocks = self._kept.floats(files.type), self._kept.struct(blocks)
        if files.distances is not None:
            distances = np.pad(files.distances, ((0, 0), (0, LIBRARY.READ_ROWS)))  # wide registers read past the last
            bert.n_distances, bert.here = distances.shape[1], len(files.positions) - 1
            bert.distances = self._kept.floats(distances)
        self._fill_norm(bert.norm, files.norm("embeddings.LayerNorm"))
        dim, hidden, group = shape.dim, shape.hidden, _group(shape.dim)
        for number, block in enumerate(blocks):
            name, names = f"encoder.layer.{number}", files.names
            asked = [files.layer(f"{name}.{part}", dim, dim) for part in names.asked]
            self._fill_layer(block.attention, asked, group)
            self._fill_layer(block.attended, [files.layer(f"{name}.{names.attended}", dim, dim)], dim)
            self._fill_layer(block.inner, [files.layer(f"{name}.intermediate.dense", hidden, dim)], group)
            self._fill_layer(block.outer, [files.layer(f"{name}.output.dense", dim, hidden)], hidden)
            self._fill_norm(block.attended_norm, files.norm(f"{name}.{names.norm}"))
            self._fill_norm(block.outer_norm, files.norm(f"{name}.output.LayerNorm"))
        return bert

    def _fill_norm(
        self,
        struct: Any,  # noqa: ANN401  # cffi's structs have no type
        norm: tuple[Vector, Vector],
    ) -> None:
        struct.weight, struct.bias = map(self._kept.floats, norm)

    def _fill_layer(
        self,
        struct: Any,  # noqa: ANN401  # cffi's structs have no type
        layers: Sequence[tuple[Matrix, Vector]],
        group: int,
    ) -> None:
        """Packs layers that read the same, one behind the other."""
        weight = np.concatenate([weight for weight, _ in layers])
        struct.height, struct.width, struct.group = *weight.shape, group
        packed, factors = pack(weight)
        struct.packed, struct.factors = self._kept.any(packed, np.uint8), self._kept.floats(factors)
        struct.bias = self._kept.floats(np.concatenate([bias for _, bias in layers]))


def pack(weight: Matrix) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Returns a layer's weight rounded to int8, as native.h packs it, and each row's factor.

    Args:
        weight: Shape `(height, width)`: multiples of 16 and 4.

    Raises:
        ValueError: It holds what is no number: rounding would hide that.
    """
    if not np.isfinite(weight).all():
        raise ValueError("a weight is no number")
    height, width = weight.shape
    factors = np.maximum(np.abs(weight).max(axis=1) / 127, np.finfo(np.float32).tiny)
    rounded = (np.rint(weight / factors[:, None]) + 128).astype(np.uint8)
    packed = aligned((height // 16, width // 4, 16, 4), np.uint8)
    packed[...] = rounded.reshape(height // 16, 16, width // 4, 4).swapaxes(1, 2)
    return packed, factors.astype(np.float32)


def _is_computed(shape: BertShape) -> bool:
    steps = shape.dim % LIBRARY.BERT_STEP == 0 and shape.hidden % LIBRARY.BERT_STEP == 0
    heads = shape.dim / shape.heads in (LIBRARY.NARROW_HEAD, LIBRARY.WIDE_HEAD)
    return steps and heads and shape.hidden >= shape.dim


def _group(width: int) -> int:
    """Returns how many neighbours share a factor: `_GROUP`, or more where there would be too many groups."""
    least = max(min(_GROUP, width), width / LIBRARY.MAX_GROUPS)
    sizes = range(LIBRARY.BERT_STEP, width + 1, LIBRARY.BERT_STEP)
    return next(size for size in sizes if width % size == 0 and size >= least)
