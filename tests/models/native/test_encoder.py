"""The compiled encoder against torch: every kind of instructions that this machine has, every model it takes."""

import json
import shutil
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from models import cpu
from models.errors import EncoderError
from models.native import encoder
from models.native.encoder import Kernel, NativeEncoder, kernels, pack, runs_here, suits
from models.native.library import LIBRARY
from models.native.threads import NativeThreads
from models.types import Matrix
from tests.models.native.test_threads import collect
from tests.models.native.tiny_berts import MODELS, changed, facts
from tests.tiny_model import MAX_POSITIONS, WORDS, write_tiny_model

CLOSE = 0.998


@cache
def by_torch(folder: Path):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def text_of(n: int) -> str:
    words = WORDS.split()
    return " ".join(words[(n * 7 + i * i) % len(words)] for i in range(n))


def cosines(one: Matrix, other: Matrix) -> Matrix:
    return (one * other).sum(axis=1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kernel", kernels())
def test_it_agrees_with_torch_at_every_length(folder_of, name: str, kernel: Kernel) -> None:
    """Rows are taken 6, 16 and 32 at a time, keys 16: each remainder is met."""
    folder = folder_of(name)
    own = NativeEncoder(folder, facts(MODELS[name]["dim"]), 2, kernel)
    texts = [text_of(n) for n in range(MAX_POSITIONS - 1)]
    expected = by_torch(folder).encode(texts, normalize_embeddings=True, show_progress_bar=False)
    found = own.encode_users(texts, lambda n: None)
    assert cosines(found, expected).min() > CLOSE
    assert cosines(found, np.roll(expected, 1, axis=0)).min() < CLOSE


@pytest.mark.parametrize("kernel", kernels())
def test_how_far_a_key_stands_from_its_query_counts(folder_of, tmp_path: Path, kernel: Kernel) -> None:
    """MPNet's distances, made so loud that a wrong one shows."""
    folder = Path(shutil.copytree(folder_of("mpnet"), tmp_path / "loud"))
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.relative_attention_bias.weight"] *= 20
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    texts = [text_of(n) for n in range(1, MAX_POSITIONS - 1)]
    expected = by_torch(folder).encode(texts, normalize_embeddings=True, show_progress_bar=False)
    own = NativeEncoder(folder, facts(64), 1, kernel)
    assert cosines(own.encode_users(texts, lambda n: None), expected).min() > CLOSE
    plain = NativeEncoder(folder_of("mpnet"), facts(64), 1, kernel)
    assert cosines(plain.encode_users(texts, lambda n: None), expected).min() < 0.9


@pytest.mark.parametrize("name", ["mean", "roberta", "mpnet"])
@pytest.mark.parametrize("kernel", kernels())
def test_a_text_may_spell_padding(folder_of, monkeypatch: pytest.MonkeyPatch, name: str, kernel: Kernel) -> None:
    """RoBERTa and MPNet count no position for it, in whichever part of a text it stands."""
    texts = ["a [PAD] web framework", "[PAD] [PAD] tea for walks", "[PAD]", "warm [PAD] light [PAD] boots [PAD]"]
    expected = by_torch(folder_of(name)).encode(texts, normalize_embeddings=True, show_progress_bar=False)
    own = NativeEncoder(folder_of(name), facts(64), 1, kernel)
    assert cosines(own.encode_users(texts, lambda n: None), expected).min() > CLOSE
    monkeypatch.setattr(encoder, "_PART", 1)
    for text, vector in zip(texts, expected, strict=True):
        parts = own.encoding(own.read(text), 3)
        LIBRARY.recall_encode(parts.job.struct)
        assert parts.result()[0] @ vector > CLOSE


@pytest.mark.parametrize("kernel", kernels()[:-1])
def test_instructions_differ_in_the_last_digits_alone(folder_of, kernel: Kernel) -> None:
    """The portable kernel is the oracle of the others: a rounding that falls otherwise is all they may differ by.

    AMX's attention rounds to bfloat16 as well.
    """
    folder, texts = folder_of("many heads"), [text_of(n) for n in range(0, 62, 3)]
    found, expected = (
        NativeEncoder(folder, facts(256), 1, one).encode_users(texts, lambda n: None)
        for one in (kernel, Kernel.PORTABLE)
    )
    assert cosines(found, expected).min() > {Kernel.AMX: 0.999}.get(kernel, 0.9998)
    assert cosines(found, expected).mean() > 0.9996


@pytest.mark.parametrize("name", ["mean", "first", "mpnet"])
@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("threads", [1, 4])
def test_however_many_encode_a_text_the_vector_is_the_same(folder_of, monkeypatch, name, kernel, threads) -> None:
    """To the last digit, whether they come at the same time, one after another or when all is done."""
    monkeypatch.setattr(encoder, "_PART", 1)
    own = NativeEncoder(folder_of(name), facts(64), 1, kernel)
    texts = [own.read(text_of(n)) for n in range(MAX_POSITIONS - 1)]
    parts = [own.encoding(text, wanted) for text in texts for wanted in (2, 3, 9)]
    pool = NativeThreads(threads)
    for one in parts:
        for _ in range(one.parts):
            pool.send(one.job)
    collect(pool, sum(one.parts for one in parts))
    pool.close()
    assert max(one.parts for one in parts) == 4
    for one, text in zip(parts, [text for text in texts for _ in range(3)], strict=True):
        alone = own.encoding(text)
        LIBRARY.recall_encode(alone.job.struct)
        assert one.result()[0].tobytes() == alone.result()[0].tobytes()


def test_nobody_returns_before_all_is_done(folder_of) -> None:
    """The vector is taken as soon as the first of those who encode a text says that it is there."""
    own = NativeEncoder(folder_of("mean"), facts(64), 1, Kernel.PORTABLE)
    encoding = own.encoding(own.read(text_of(MAX_POSITIONS)), 2)
    text = encoding.job.struct
    work = (text.bert.n_blocks + 1) * text.parts + 1
    text.begun, text.done = work, work - 1  # another thread is still at the last piece
    pool = NativeThreads(1)
    pool.send(encoding.job)
    time.sleep(0.2)
    assert pool.done() == []
    with pytest.raises(MemoryError):
        encoding.result()
    text.done = work
    assert collect(pool, 1) == [1]
    pool.close()


def test_short_texts_are_one_threads_work(folder_of) -> None:
    own = NativeEncoder(folder_of("mean"), facts(64), 1, Kernel.PORTABLE)
    longest = own.read(text_of(MAX_POSITIONS))
    assert own.encoding(longest, 8).parts == MAX_POSITIONS // encoder._PART > 1
    assert own.encoding(longest).parts == 1
    assert own.encoding(own.read("warm tea"), 8).parts == 1


def test_the_first_dimensions_alone_are_a_unit_vector_too(folder_of) -> None:
    folder = folder_of("mean")
    whole, _ = NativeEncoder(folder, facts(64), 1, Kernel.PORTABLE).encode_user("tea and coffee")
    cut, _ = NativeEncoder(folder, facts(24), 1, Kernel.PORTABLE).encode_user("tea and coffee")
    np.testing.assert_allclose(cut, whole[:24] / np.linalg.norm(whole[:24]), rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_packed_weights_are_the_weights_within_half_a_step(high: int, wide: int, seed: int) -> None:
    weight = np.random.default_rng(seed).standard_normal((16 * high, 4 * wide)).astype(np.float32)
    weight[0] = 0
    packed, factors = pack(weight)
    rounded = packed.transpose(0, 2, 1, 3).reshape(weight.shape).astype(np.float32) - 128
    assert (np.abs(rounded * factors[:, None] - weight) <= factors[:, None] * 0.501).all()


def test_a_build_asks_which_models_suit(folder_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "runs_here", lambda: True)
    assert suits(folder_of("mean"))
    assert not suits(changed(folder_of("mean"), tmp_path, "config.json", model_type="electra"))
    assert not suits(write_tiny_model(tmp_path / "narrow", dim=32))
    assert not suits(tmp_path)
    monkeypatch.setattr(encoder, "runs_here", lambda: False)
    assert not suits(folder_of("mean"))


def test_a_token_that_the_model_lacks_is_an_error_and_reads_nothing(folder_of, tmp_path: Path) -> None:
    """A vocabulary with holes has larger numbers than entries."""
    copy = Path(shutil.copytree(folder_of("mean"), tmp_path / "copy"))
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["tea"] = 1_000_000
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    own = NativeEncoder(copy, facts(64), 1, Kernel.PORTABLE)
    assert np.linalg.norm(own.encode_user("coffee")[0]) == pytest.approx(1)
    with pytest.raises(EncoderError, match="tokens up to number 1000000, the model has"):
        own.encode_user("tea")


def test_a_text_without_any_token_is_an_error(folder_of, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder_of("mean"), tmp_path / "copy"))
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    (copy / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}))
    own = NativeEncoder(copy, facts(64), 1, Kernel.PORTABLE)
    with pytest.raises(EncoderError, match="made no token"):
        own.encode_user("")
    assert np.linalg.norm(own.encode_user("tea")[0]) == pytest.approx(1)


def test_machines_that_it_isnt_made_for_are_told(folder_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "flags", lambda: frozenset({"avx2"}))
    assert kernels() == [Kernel.PORTABLE]
    assert not runs_here()
    with pytest.raises(EncoderError, match="needs a CPU with AVX-512's int8 dot products, this one has none"):
        NativeEncoder(folder_of("mean"), facts(64), 1)
    monkeypatch.setattr(encoder, "LIBRARY", None)
    monkeypatch.setattr(encoder, "PROBLEM", "it isn't there")
    assert kernels() == []
    with pytest.raises(EncoderError, match="needs the compiled library: it isn't there"):
        NativeEncoder(folder_of("mean"), facts(64), 1)
