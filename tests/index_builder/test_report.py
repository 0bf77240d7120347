import pytest

from index_builder.report import BuildReport, InteractionCounts, Stopwatch, row_lines
from models.types import JsonValue

EXAMPLES: list[JsonValue] = [
    {"file": "a.csv", "line": line, "kind": "no_id", "reason": "id is empty"} for line in (3, 9)
]
COUNTS = InteractionCounts(n_rows=20, n_used=15, n_users=4, n_below_min_rating=3, n_unrated=0, n_unknown_items=2)
REPORT = BuildReport(
    artifact_id="0123456789abcdef",
    artifacts="/shop/artifacts",
    n_items=10,
    n_rows=12,
    n_encoded=3,
    n_reused=7,
    user_texts={"n_encoded": 1, "n_reused": 2},
    index={"kind": "hnsw", "m": 32},
    interactions=COUNTS,
    quality={
        "ann_recall@100": 0.995,
        "validation": {"text": {"cases": 8, "product": {"recall@10": 0.5}, "zero_shot": {"recall@10": 0.25}}},
    },
    rejects={
        "catalogue": {"rejected": 2, "share": 0.1, "counts": {"no_id": 2}, "examples": EXAMPLES, "file": "bad.jsonl"},
        "interactions": {"rejected": 0, "share": 0.0, "counts": {}, "examples": [], "file": None},
    },
    deleted=["fedcba9876543210"],
    warnings=["look at this"],
    seconds={"read": 0.25, "encode": 61.04},
)


def test_the_lines_tell_the_whole_story_the_artifact_last() -> None:
    assert REPORT.lines() == [
        "warning: look at this",
        "rejected 2 catalogue rows {'no_id': 2}, see bad.jsonl: a.csv line 3: id is empty; a.csv line 9: id is empty",
        "15 of 20 interactions by 4 users used (2 name unknown items, 3 are rated too low)",
        "10 items (3 texts encoded, 7 embeddings reused)",
        "index hnsw: ann_recall@100 0.995",
        "validation by text, 8 cases, product     recall@10 0.500",
        "validation by text, 8 cases, zero_shot   recall@10 0.250",
        "seconds: read 0.2, encode 61.0",
        "deleted old artifacts: fedcba9876543210",
        "artifact 0123456789abcdef is live in /shop/artifacts",
    ]


def test_rows_without_a_rating_are_not_called_badly_rated() -> None:
    counts = COUNTS.model_copy(update={"n_unrated": 7})
    assert row_lines({}, counts) == [
        "15 of 20 interactions by 4 users used (2 name unknown items, 3 are rated too low, 7 are not rated)"
    ]


def test_the_head_says_what_it_does_in_each_situation() -> None:
    gained = {"cases": 8, "before": {"recall@10": 0.5}, "after": {"recall@10": 0.625}, "acts": True}
    lost = {"cases": 9, "before": {"recall@10": 0.5}, "after": {"recall@10": 0.4}, "acts": False}
    head = {"cases": 8, "before": {"recall@10": 0.5}, "situations": {"history": gained, "query": lost}}
    lines = REPORT.model_copy(update={"quality": REPORT.quality | {"validation": {"head": head}}}).lines()
    assert lines[5:8] == [
        "validation by head, 8 cases, before      recall@10 0.500",
        "relation head by history, 8 cases  recall@10 0.500 → 0.625",
        "relation head by query, 9 cases  recall@10 0.500 → 0.400: it sits out",
    ]


def test_what_there_is_not_has_no_line() -> None:
    quiet = REPORT.model_copy(update={"interactions": None, "warnings": [], "rejects": {}})
    assert quiet.lines()[0].startswith("10 items")
    assert quiet.model_dump(mode="json")["interactions"] is None


def test_the_json_form_comes_back() -> None:
    assert BuildReport.model_validate_json(REPORT.model_dump_json()) == REPORT


def test_the_stopwatch_keeps_the_stages_in_their_order_and_not_a_failed_one() -> None:
    watch = Stopwatch()
    with watch.stage("read"):
        pass
    with pytest.raises(ValueError, match="x"), watch.stage("encode"):
        raise ValueError("x")
    with watch.stage("write"):
        pass
    assert list(watch.seconds) == ["read", "write"]
    assert all(seconds >= 0 for seconds in watch.seconds.values())
