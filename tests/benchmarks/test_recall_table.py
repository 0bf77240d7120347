from collections import Counter

import numpy as np
import pytest

from benchmarks.load import Round
from benchmarks.recall_table import Measurement, figures, p50, per_second


def a_round(milliseconds: float, *, failures: int = 0) -> Round:
    return Round(
        np.full(10, milliseconds), 10 * milliseconds / 1e3, Counter({"status 500": failures} if failures else ()), 0.1
    )


def test_ratios_are_taken_round_by_round() -> None:
    """Noise that slows both sides of one round leaves the ratio as it is."""
    row = Measurement("ours", 1, [a_round(2), a_round(20), a_round(2)], [a_round(8), a_round(80), a_round(8)])
    assert row.ratio(p50) == pytest.approx(1 / 4)
    assert row.ratio(per_second) == pytest.approx(4)
    assert row.typical(p50) == 2


def test_failures_and_requests_are_sums() -> None:
    rounds = [a_round(2, failures=1), a_round(2), a_round(2, failures=2)]
    row = Measurement("ours", 1, rounds, rounds)
    assert row.failures == {"status 500": 3}
    assert row.requests == 33
    assert "33 requests, 3 failures" in figures(row, 100)
