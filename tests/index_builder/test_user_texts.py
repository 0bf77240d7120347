"""User texts are cleaned once and encoded once, by the runtime that serves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from index_builder.user_texts import clean_texts, encode_users
from models.artifact_writer import text_hashes
from models.learnt import UserTexts, write_user_texts
from models.text import TextRecipe
from models.training.interactions import Interactions
from tests.artifacts import memory_artifact, unit_rows
from tests.fakes import DIM, FakeEncoder


def said(*texts: str | None) -> Interactions:
    n = len(texts)
    return Interactions(np.zeros(n, np.int64), ("u",), np.arange(n), texts=texts)


def test_texts_are_distinct_and_those_that_say_nothing_are_left_out() -> None:
    found = clean_texts(said("<b>Hello</b>  there", None, "<p></p>", "Bye", "Bye"), TextRecipe())
    assert found == {"<b>Hello</b>  there": "Hello there", "Bye": "Bye"}


def test_without_a_text_column_there_are_none() -> None:
    assert clean_texts(Interactions(np.zeros(1, np.int64), ("u",), np.zeros(1, np.int64)), TextRecipe()) == {}


def test_every_text_is_encoded_once_in_order() -> None:
    encoder = FakeEncoder()
    found, n_encoded = encode_users(["one", "two"], encoder, DIM, parent=None)
    assert (n_encoded, sorted(encoder.encoded)) == (2, ["one", "two"])
    np.testing.assert_array_equal(found.embeddings[1], FakeEncoder().encode_user("two")[0])
    np.testing.assert_array_equal(found.hashes, text_hashes(["one", "two"]))


def test_what_the_parent_encoded_is_reused(tmp_path: Path) -> None:
    known = np.full((1, DIM), 0.5, np.float32)
    write_user_texts(tmp_path, UserTexts(text_hashes(["two"]), known))
    learnt: Any = object()
    parent = replace(memory_artifact(unit_rows(3, DIM)), folder=tmp_path, learnt=learnt)
    encoder = FakeEncoder()
    found, n_encoded = encode_users(["one", "two"], encoder, DIM, parent=parent)
    assert (n_encoded, encoder.encoded) == (1, ["one"])
    np.testing.assert_array_equal(found.embeddings[1], known[0])
    zero_shot = replace(parent, learnt=None)
    assert encode_users(["two"], encoder, DIM, parent=zero_shot)[1] == 1
