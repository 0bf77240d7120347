from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.machine import Machine

MACHINE = Machine(cpu="CPU | 1", cores=2, flags=("vnni",), load=0.5, commit="abc", date="2026-01-01T00:00+00:00")


def test_rows_are_added_behind_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "RESULTS.md"
    record.write_text("head\n")
    monkeypatch.setattr(results, "RESULTS", record)
    results.append(MACHINE, "bench", [("first", "1 ms"), ("second", "2 ms")])
    results.append(MACHINE, "bench", [("third", "3 ms")])
    head, *rows = record.read_text().splitlines()
    assert head == "head"
    assert [row.split(" | ")[-2:] for row in rows] == [["first", "1 ms |"], ["second", "2 ms |"], ["third", "3 ms |"]]
    assert rows[0].startswith("| 2026-01-01T00:00+00:00 | abc | CPU / 1, 2 cores, vnni; load 0.5 | bench |")


def test_the_record_in_the_repository_ends_in_its_table() -> None:
    lines = results.RESULTS.read_text().splitlines()
    n_columns = lines[-1].count("|")
    assert lines[-1].startswith("|")
    assert n_columns == 7
