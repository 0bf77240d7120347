"""Which validation cases judge which situation."""

import numpy as np

from models.fused import FEW_WORDS
from models.training.features import EncodedTexts, Features, make_features
from models.training.situations import by_situation, queries_of
from models.training.split import Case, Task

ITEMS = ["alpha beta gamma", "delta beta"]
QUERIES = {"beta gamma": 0, "delta": 1}


def says(text: str, task: Task = "text") -> Case:
    history = np.arange(1) if task == "history" else np.empty(0, np.int64)
    return Case(user=1, task=task, history=history, texts=(text,), targets=np.array([1]), is_new_user=True)


def features(texts: list[str], *, queries: dict[str, int]) -> Features:
    embeddings = np.eye(4, dtype=np.float32)
    every = EncodedTexts(
        {text: text for text in texts}, np.ones((len(texts) + len(queries), 4), np.float32), (), queries
    )
    return make_features(ITEMS, embeddings[:2], every, seed=0)


LONG = [f"long {number} " + "word " * FEW_WORDS for number in range(5)]


def test_long_texts_judge_texts_and_half_of_what_a_query_could_mean() -> None:
    known = features([*LONG, "few words"], queries=QUERIES)
    cases = [says(text) for text in [*LONG, "few words"]]
    found = by_situation({"text": cases, "history": [says("few words", "history")]}, known)
    assert [case.texts[0] for case in found["text"]] == LONG
    assert [case.texts[0] for case in found["query"]] == ["beta gamma", "delta", *LONG[:2]]
    assert [case.task for case in found["history"]] == ["history"]


def test_many_short_texts_judge_queries_alone() -> None:
    short = [f"few words {number}" for number in range(100)]
    found = by_situation({"text": [says(text) for text in short]}, features(short, queries=QUERIES))
    assert [case.texts[0] for case in found["query"]] == short
    assert set(found) == {"query"}


def test_without_user_texts_the_catalogues_words_judge_queries() -> None:
    known = features([], queries=QUERIES)
    found = by_situation({}, known)["query"]
    assert [(case.texts, case.targets.tolist()) for case in found] == [(("beta gamma",), [0]), (("delta",), [1])]
    assert known.rows_of(["delta"]) == [1]
    assert queries_of(features([], queries={})) == []
