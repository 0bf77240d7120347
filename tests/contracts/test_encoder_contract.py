"""What every encoder does alike: the fake one, the runtimes of tiny models and of the packaged one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from index_builder.encoder_source import find_model
from models.encoder import Encoder, EncoderFacts, Prompts
from models.encoder_openvino import OpenVINOEncoder
from models.native.encoder import NativeEncoder, kernels
from models.types import Matrix
from tests.fakes import FakeEncoder, fake_facts
from tests.tiny_model import Prepared, prepare, real_texts, write_tiny_model

CHINESE = ["轻便的登山靴", "山道を歩くための軽い靴"]
TEXTS = [
    "",
    "a",
    "?!",
    *CHINESE,
    "light boots for walks in the mountains",
    "the web framework " * 4,
    *real_texts()[:40],
]
LONG = "light boots for walks in the mountains " * 200


@dataclass
class Case:
    """One implementation.

    Attributes:
        encoder: As an artifact's facts load it.
        facts: These facts.
        load: Loads it with other facts.
        reference: The same by sentence-transformers alone, given prompt and texts; None for the fake one.
        word: A word of one token, to reach the limit exactly.
        special: Tokens that the model adds to a text.
        agreement: The reference's least cosine; less where it computes in fewer digits.
    """

    encoder: Encoder
    facts: EncoderFacts
    load: Callable[[EncoderFacts], Encoder]
    reference: Callable[[str, list[str]], Matrix] | None
    word: str
    special: int
    agreement: float = 0.9999


def real(prepared: Prepared, load: Callable[[EncoderFacts], Encoder]) -> Case:
    facts = prepared.facts

    def reference(prompt: str, texts: list[str]) -> Matrix:
        model = by_sentence_transformers(prepared.model, facts.dim)
        return model.encode(texts, prompt=prompt, normalize_embeddings=True, show_progress_bar=False)

    return Case(load(facts), facts, load, reference, word="web", special=2)


@cache
def by_sentence_transformers(model: str, dim: int):
    """The model as its own library loads it: none of this project's files or settings."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(find_model(model).folder), device="cpu", truncate_dim=dim, local_files_only=True)


def openvino(prepared: Prepared) -> Case:
    return real(prepared, lambda facts: OpenVINOEncoder(prepared.folder, facts, 2))


def native(prepared: Prepared) -> Case:
    compiled = replace(prepared, facts=prepared.facts.run_by("native-int8"))
    case = real(compiled, lambda facts: NativeEncoder(prepared.folder, facts, 2, kernels()[0]))
    return replace(case, agreement=0.98)


def pytorch(prepared: Prepared) -> Case:
    import torch

    from models.encoder_torch import TorchEncoder

    torch.set_num_threads(1)  # eight threads' teams would fight for the cores
    return real(prepared, lambda facts: TorchEncoder(prepared.folder, facts, device="cpu"))


@pytest.fixture(scope="session")
def cut(tiny_model, tmp_path_factory) -> Prepared:
    """The tiny model with every setting changed."""
    settings = {"truncate_dim": 8, "max_seq_length": 12, "user_prompt": "web ", "item_prompt": ""}
    return prepare(tiny_model, tmp_path_factory.mktemp("cut") / "artifact", **settings)


@pytest.fixture(scope="session")
def wide(tmp_path_factory) -> Prepared:
    """As wide as the compiled encoder takes."""
    folder = tmp_path_factory.mktemp("models") / "wide"
    model = write_tiny_model(folder, dim=64, initializer_range=0.15, prompts={"query": "web "})
    return prepare(model, tmp_path_factory.mktemp("wide") / "artifact")


REAL = [
    "tiny openvino",
    "tiny torch",
    "cut openvino",
    "cut torch",
    "wide openvino",
    "wide native",
    pytest.param("packaged openvino", marks=pytest.mark.real_model),
    pytest.param("packaged native", marks=pytest.mark.real_model),
]


@pytest.fixture(scope="session")
def load_case(request: pytest.FixtureRequest) -> Callable[[str], Case]:
    """Loads each implementation once."""

    @cache
    def load(name: str) -> Case:
        if name == "fake":
            return Case(FakeEncoder(), fake_facts(), lambda facts: FakeEncoder(), None, word="web", special=0)
        model, runtime = name.split()
        return {"openvino": openvino, "torch": pytorch, "native": native}[runtime](request.getfixturevalue(model))

    return load


@pytest.fixture(params=["fake", *REAL])
def case(request: pytest.FixtureRequest, load_case: Callable[[str], Case]) -> Case:
    return load_case(request.param)


@pytest.fixture(params=REAL)
def real_case(request: pytest.FixtureRequest, load_case: Callable[[str], Case]) -> Case:
    return load_case(request.param)


def encode_items(encoder: Encoder, texts: list[str]) -> Matrix:
    return encoder.encode_items(texts, lambda n: None)


def cosines(one: Matrix, other: Matrix) -> Matrix:
    return (one * other).sum(axis=1)


def test_many_user_texts_at_once_are_each_alone(case: Case) -> None:
    many = case.encoder.encode_users(TEXTS, lambda n: None)
    alone = np.stack([case.encoder.encode_user(text)[0] for text in TEXTS])
    assert cosines(many, alone).min() > 0.9999


def test_vectors_are_unit_rows_of_the_manifests_dimension(case: Case) -> None:
    vectors = encode_items(case.encoder, TEXTS)
    assert vectors.shape == (len(TEXTS), case.facts.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for text in TEXTS[:6]:
        vector, truncated = case.encoder.encode_user(text)
        assert vector.shape == (case.facts.dim,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert truncated is False


def test_rows_keep_the_order_of_the_texts(case: Case) -> None:
    """Inside, texts are sorted by length."""
    vectors = encode_items(case.encoder, TEXTS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    turned = encode_items(case.encoder, [TEXTS[n] for n in order])
    assert cosines(turned, vectors[order]).min() > 0.9999
    assert np.abs(vectors[6] - vectors[5]).max() > 1e-3


def test_a_batch_is_what_its_texts_are_alone(case: Case) -> None:
    vectors = encode_items(case.encoder, TEXTS)
    alone = np.concatenate([encode_items(case.encoder, [text]) for text in TEXTS])
    assert cosines(vectors, alone).min() > 0.9999


def test_the_same_text_is_the_same_vector(case: Case) -> None:
    np.testing.assert_array_equal(case.encoder.encode_user(TEXTS[5])[0], case.encoder.encode_user(TEXTS[5])[0])
    vectors = encode_items(case.encoder, ["tea"] * 70)
    assert cosines(vectors, vectors[:1]).min() > 0.9999


def test_progress_adds_up(case: Case) -> None:
    steps: list[int] = []
    case.encoder.encode_items(TEXTS, steps.append)
    assert sum(steps) == len(TEXTS)


def test_a_text_over_the_limit_is_cut_there_and_says_so(case: Case) -> None:
    prompt = len(case.facts.prompts.user.replace(":", " :").split())
    fitting = case.facts.max_tokens - case.special - prompt
    exact, truncated = case.encoder.encode_user(" ".join([case.word] * fitting))
    assert not truncated
    over, truncated = case.encoder.encode_user(" ".join([case.word] * (fitting + 1)))
    assert truncated
    assert exact @ over > 0.9999
    first, truncated = case.encoder.encode_user(LONG)
    assert truncated
    assert first @ case.encoder.encode_user(LONG + "tea and coffee")[0] > 0.9999
    assert np.isfinite(encode_items(case.encoder, ["x" * 20_000, LONG, "tea"])).all()


def test_each_side_has_its_prompt(real_case: Case) -> None:
    plain = real_case.load(real_case.facts.model_copy(update={"prompts": Prompts()}))
    prompts = Prompts(user="query: ", item="passage: ")
    prompted = real_case.load(real_case.facts.model_copy(update={"prompts": prompts}))
    text = TEXTS[5]
    user, item = prompted.encode_user(text)[0], encode_items(prompted, [text])[0]
    assert user @ plain.encode_user(prompts.user + text)[0] > 0.9999
    assert item @ encode_items(plain, [prompts.item + text])[0] > 0.9999
    unprompted = plain.encode_user(text)[0]
    assert unprompted @ encode_items(plain, [text])[0] > 0.9999
    assert max(user @ item, user @ unprompted, item @ unprompted) < 0.9999


def test_threads_get_what_one_gets(case: Case) -> None:
    texts = TEXTS[3:15]
    alone = [case.encoder.encode_user(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(case.encoder.encode_user, texts))
    for (one, one_cut), (other, other_cut) in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert one_cut == other_cut


def test_chinese_texts_are_told_apart(case: Case) -> None:
    one, other = (case.encoder.encode_user(text)[0] for text in CHINESE)
    assert one @ other < 0.999


def test_it_agrees_with_sentence_transformers(real_case: Case) -> None:
    texts = [text for text in TEXTS if len(text) < 60]
    if real_case.facts.max_tokens > 24:  # the reference cuts where the model does, so only uncut texts compare there
        texts = TEXTS
    elif real_case.facts.max_tokens < 24:
        texts = ["", "a", *CHINESE[:1], "light boots", "the web framework", "tea, coffee"]
    items = encode_items(real_case.encoder, texts)
    assert cosines(items, real_case.reference(real_case.facts.prompts.item, texts)).min() > real_case.agreement
    users = np.stack([real_case.encoder.encode_user(text)[0] for text in texts])
    assert cosines(users, real_case.reference(real_case.facts.prompts.user, texts)).min() > real_case.agreement


def test_no_texts_are_no_vectors(real_case: Case) -> None:
    assert encode_items(real_case.encoder, []).shape == (0, real_case.facts.dim)
