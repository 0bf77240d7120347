from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.load import Round
from benchmarks.speed_targets import Speed, Verdict, table, verdicts
from models.manifest import Manifest
from tests.artifacts import memory_artifact, unit_rows


def rounds(per_second: float, *, tail: float = 1.0) -> list[Round]:
    """Three rounds; the slowest answers take `tail` times the median."""
    milliseconds = np.full(100, 1e3 / per_second)
    milliseconds[-5:] *= tail
    return [Round(milliseconds, 100 / per_second, Counter(), 0.1)] * 3


SPEED = Speed(
    cold={1: rounds(400), 8: rounds(800)},
    warm={1: rounds(1_000), 8: rounds(2_500)},
    textbook={1: rounds(100), 8: rounds(100)},
    empty={1: rounds(5_000), 8: rounds(10_000)},
    txtai={1: rounds(50), 8: rounds(100)},
    bare=[1_000.0] * 3,
    open_loop=rounds(640, tail=4.1),
    items=[3.0, 2.9, 3.1],
    rescore_ms=[0.2, 0.3, 0.4],
    ready_seconds=2.0,
    resident_mib=501.0,
)


@pytest.fixture
def manifest() -> Manifest:
    quality = {
        "ann_recall@100": 0.995,
        "query_runtimes": {
            "openvino-int8": {
                "overlap@100": 0.98,
                "recall@100_loss": {"share": 0.012, "low": 0.0, "high": 0.02, "cases": 200},
            }
        },
    }
    plain = memory_artifact(unit_rows(5, 4)).manifest
    encoder = plain.encoder.model_copy(update={"query_runtime": "openvino-int8"})
    return plain.model_copy(update={"quality": quality, "encoder": encoder})


def test_each_figure_is_held_against_its_target(manifest: Manifest) -> None:
    found = {one.measure: (one.figure, one.held) for one in verdicts(SPEED, manifest)}
    assert found == {
        "uncached requests/s ÷ textbook's, 8 connections": (pytest.approx(8), True),
        "uncached requests/s ÷ bare encoder's texts/s": (pytest.approx(0.8), True),
        "cached requests/s ÷ empty route's, 8 connections": (pytest.approx(0.25), True),
        "uncached requests/s ÷ txtai's, 8 connections": (pytest.approx(8), False),
        "uncached p50 ÷ textbook's, 1 connection": (pytest.approx(0.25), True),
        "p99 ÷ p50, open loop at 80 % of the top load": (pytest.approx(4.1), False),
        "rescoring a pool of 500, median ms": (0.3, True),
        "ready after its start, s": (2.0, True),
        "resident memory of all serving processes, MiB": (501.0, False),
        "items/s ÷ SentenceTransformer.encode(batch_size=32)": (3.0, True),
        "overlap@100 of openvino-int8 with float32": (0.98, True),
        "recall@100 lost by openvino-int8, share": (0.012, False),
        "ann_recall@100": (0.995, True),
    }
    assert table(verdicts(SPEED, manifest)).row_count == len(found)


def test_what_was_not_measured_is_neither_held_nor_missed(manifest: Manifest) -> None:
    found = verdicts(replace(SPEED, txtai={}), manifest)
    txtai = next(one for one in found if "txtai" in one.measure)
    assert (txtai.figure, txtai.held) == (None, None)
    assert txtai.line().startswith("– (target ≥ 10): not measured; make its environment")


def test_other_numbers_of_connections_give_no_ratios(manifest: Manifest) -> None:
    few = replace(SPEED, **{name: {2: rounds(100)} for name in ("cold", "warm", "textbook", "empty", "txtai")})
    assert not [one for one in verdicts(few, manifest) if "connection" in one.measure]


def test_the_record_says_figure_target_and_verdict() -> None:
    assert Verdict("a", 3.14159, "≤", 3, "b").line() == "3.14 (target ≤ 3): MISSED; b"
    assert Verdict("a", 3.0, "≤", 3).line() == "3 (target ≤ 3): held"
