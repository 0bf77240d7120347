import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest

from models import graph_forms
from models.encoder_openvino import GRAPH
from models.graph_forms import GraphForms
from models.graph_inputs import graph_inputs
from models.tokens import load_tokenizer
from models.types import Matrix
from tests.tiny_model import Prepared

_CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 2, "INFERENCE_NUM_THREADS": 2}
_TEXTS = ["tea", "web " * 10, "warm light boots " * 6]  # of three lengths


@pytest.fixture(autouse=True)
def few_make_a_habit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_forms, "_FIXED_AFTER", 3)


@pytest.fixture
def forms(tiny: Prepared) -> Iterator[GraphForms]:
    forms = GraphForms(tiny.folder / GRAPH, _CONFIG)
    yield forms
    forms.settle()


def _ask(forms: GraphForms, tiny: Prepared, *texts: str) -> Matrix:
    tokenizer = load_tokenizer(tiny.folder, tiny.facts.max_tokens)
    return forms.infer(graph_inputs([tokenizer.encode(text).ids for text in texts], tiny.facts.max_tokens))


def test_a_length_that_comes_often_gets_a_form_that_answers_alike(forms: GraphForms, tiny: Prepared) -> None:
    first = _ask(forms, tiny, "tea")
    for _ in range(3):
        _ask(forms, tiny, "tea")
    forms.settle()
    assert forms.fixed == {8}
    np.testing.assert_allclose(_ask(forms, tiny, "tea"), first, atol=1e-6)


@pytest.mark.parametrize("alone", [True, False])
def test_a_text_alone_has_all_cores_and_one_beside_others_one(alone: bool, forms: GraphForms, tiny: Prepared) -> None:
    first = _ask(forms, tiny, "tea")
    for _ in range(3):
        _ask(forms, tiny, "tea")
    forms.settle()
    for form in [form for form in forms._forms if form != (8, alone)]:
        del forms._forms[form]  # whoever takes another fails
    with nullcontext() if alone else forms._beside():
        np.testing.assert_allclose(_ask(forms, tiny, "tea"), first, atol=1e-6)


def test_only_the_first_habit_counts(forms: GraphForms, tiny: Prepared) -> None:
    for text in _TEXTS * 4:
        _ask(forms, tiny, text)
    forms.settle()
    assert forms.fixed == {8}


def test_texts_in_batches_count_for_nothing(forms: GraphForms, tiny: Prepared) -> None:
    for _ in range(5):
        _ask(forms, tiny, "tea", "boots")
    forms.settle()
    assert forms.fixed == frozenset()


def test_a_large_graph_gets_none(forms: GraphForms, tiny: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_forms, "_LARGE_GRAPH", 1)
    large = GraphForms(tiny.folder / GRAPH, _CONFIG)
    for _ in range(5):
        _ask(large, tiny, "tea")
    large.settle()
    assert large.fixed == frozenset()


def test_threads_get_their_own_answers_while_forms_come(forms: GraphForms, tiny: Prepared) -> None:
    expected = {text: _ask(forms, tiny, text) for text in _TEXTS}
    asked = _TEXTS * 30
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: _ask(forms, tiny, text), asked))
    for text, vectors in zip(asked, found, strict=True):
        np.testing.assert_allclose(vectors, expected[text], atol=1e-6)


def test_a_form_that_fails_is_reported_and_missed_by_nobody(
    forms: GraphForms, tiny: Prepared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(graph: object, config: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(forms, "_compile", fail)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            first = _ask(forms, tiny, "tea")
        forms.settle()
    assert "out of memory" in caplog.text
    np.testing.assert_allclose(_ask(forms, tiny, "tea"), first, atol=1e-6)
