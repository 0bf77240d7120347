"""Candidates written by the library against the same ones as objects."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.native.candidates import CandidateWriter, candidate_writer

IDS = ["plain", 'quo"te', "back\\slash", "ünï", "日本", "\x01", "x" * 300]


def writer() -> CandidateWriter:
    found = candidate_writer(IDS[:4])
    assert found is not None
    return found.beside(IDS[4:])


@pytest.mark.parametrize("is_related", [True, False])
def test_ids_numbers_and_order_are_those_of_the_rows(is_related: bool) -> None:
    rows = np.array([6, 0, 4, 1, 2, 5, 3])
    scores, recall_scores = np.linspace(3, -3, 7, dtype=np.float32), np.linspace(-1, 1, 7, dtype=np.float32)
    found = writer().write(rows, scores, recall_scores, is_related=is_related)
    assert len(found) == 7
    for candidate, row, score, recall_score in zip(json.loads(found.text), rows, scores, recall_scores, strict=True):
        assert candidate == {
            "id": IDS[row],
            "score": round(float(score), 6),
            "recall_score": round(float(recall_score), 6),
            "relation_score": round(float(score), 6) if is_related else None,
        }


def test_nothing_is_an_empty_list() -> None:
    none = np.empty(0, np.float32)
    assert writer().write(np.empty(0, np.int64), none, none, is_related=True).text == b"[]"


@given(st.floats(width=32) | st.sampled_from([0.0, 1e-7, -5e-7, 0.999_999_9, 3.4e38, -3.4e38, 1e9]))
def test_numbers_are_what_numpy_rounds_and_orjson_writes(number: float) -> None:
    """What is no number is null there, too."""
    score = np.array([number], np.float32)
    [candidate] = orjson.loads(writer().write(np.zeros(1, np.int64), score, score, is_related=True).text)
    rounded = orjson.loads(orjson.dumps(np.round(score.astype(np.float64), 6).tolist()))[0]
    assert (
        candidate["score"] == candidate["relation_score"] == (pytest.approx(rounded, rel=1e-7) if rounded else rounded)
    )
