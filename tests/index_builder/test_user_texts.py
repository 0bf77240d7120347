"""User texts are cleaned once and encoded once, by the runtime that serves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from index_builder.user_texts import clean_texts, encode_users, texts_read
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


def test_of_too_many_texts_each_user_s_newest_are_read_first() -> None:
    """Users 0 and 1 wrote two texts each, of two words; the later their time the newer."""
    interactions = Interactions(
        users=np.array([0, 0, 1, 1, 1]),
        user_ids=("a", "b"),
        items=np.arange(5),
        times=np.array([1.0, 2.0, 4.0, 3.0, 5.0]),
        texts=("a old", "a new", "b new", "b old", None),
    )
    assert texts_read(interactions, most_words=8) == ["a old", "a new", "b new", "b old"]
    assert texts_read(interactions, most_words=7) == ["a new", "b new", "b old"]
    assert texts_read(interactions, most_words=4) == ["a new", "b new"]
    assert texts_read(interactions, most_words=2) == ["b new"]


def test_without_times_the_last_of_the_table_count_as_the_newest() -> None:
    assert texts_read(said("one text", "two text", "three text"), most_words=4) == ["two text", "three text"]


def test_a_text_on_many_rows_counts_once() -> None:
    """As the stated need of a user."""
    assert texts_read(said("same", "same", "other", "third"), most_words=3) == ["same", "other", "third"]


def test_words_are_counted_whatever_parts_them() -> None:
    for text, n_words in (("one two", 2), ("one\ntwo\tthree", 3), ("読んだ本はとても面白かった", 6)):
        assert texts_read(said(text, "end"), most_words=n_words + 1) == [text, "end"]
        assert texts_read(said(text, "end"), most_words=n_words) == ["end"]


def test_of_a_long_text_what_an_encoder_reads_counts() -> None:
    long = "word " * 10_000
    assert texts_read(said(long, "short"), most_words=250) == [long, "short"]


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
