"""Doubles at the edges: an encoder that needs no weights."""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from index_builder.config import EncoderConfig
from index_builder.encode import EncoderPreparer
from models.artifact import ENCODER, Artifact
from models.encoder import Encoder, EncoderFacts, Prompts, QueryRuntime
from models.text import TextRecipe
from models.types import Matrix, Vector

DIM = 64


class FakeEncoder:
    """A deterministic encoder in which texts that share words have near vectors.

    Args:
        seed: Another seed is another vector space.
        max_words: Words read of a text.
    """

    runtime: QueryRuntime = "openvino-f32"

    def __init__(self, seed: int = 0, max_words: int = 200) -> None:
        self.seed, self.max_words = seed, max_words
        self.encoded: list[str] = []
        self.encoded_items: list[str] = []

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        self.encoded.append(text)
        words = re.findall(r"\w+|[^\w\s]", text.lower())
        total = sum((self._word(word) for word in words[: self.max_words]), start=np.full(DIM, 1e-3, np.float32))
        return (total / np.linalg.norm(total)).astype(np.float32), len(words) > self.max_words

    def encode_users(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        vectors = np.stack([self.encode_user(text)[0] for text in texts])
        on_done(len(texts))
        return vectors

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        self.encoded_items += texts
        return self.encode_users(texts, on_done)

    def _word(self, word: str) -> Vector:
        seed = hashlib.blake2b(f"{self.seed} {word}".encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(seed)).standard_normal(DIM).astype(np.float32)


def fake_facts(seed: int = 0) -> EncoderFacts:
    return EncoderFacts(
        name="fake",
        revision=None,
        dim=DIM,
        max_tokens=200,
        prompts=Prompts(),
        precision="float32",
        fingerprint=f"fake-{seed}",
        query_runtime="openvino-f32",
    )


def load_fake(folder: Path, facts: EncoderFacts, threads: int) -> FakeEncoder:
    """Loads the fake encoder that `prepare_fake` wrote."""
    return FakeEncoder(int((folder / "seed.txt").read_text()))


def prepare_fake(seed: int = 0, encoder: FakeEncoder | None = None) -> EncoderPreparer:
    """Returns what stands in for `prepare_encoder`; `encoder` records the texts that it reads."""

    def prepare(
        config: EncoderConfig, recipe: TextRecipe, folder: Path, *, texts: Sequence[str], parent: Artifact | None
    ) -> tuple[EncoderFacts, Callable[[], Encoder]]:
        (folder / ENCODER).mkdir(exist_ok=True)
        (folder / ENCODER / "seed.txt").write_text(str(seed))
        return fake_facts(seed), lambda: encoder or FakeEncoder(seed)

    return prepare
