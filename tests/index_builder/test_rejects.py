import json
from pathlib import Path

import pytest

from index_builder.rejects import RejectKind, Rejects, RowError
from models.errors import DataError


def reject(rejects: Rejects, line: int, kind: RejectKind = RejectKind.NO_ID, *, row: object = None) -> None:
    rejects.add(RowError(kind, f"reason {line}"), file="items.jsonl", line=line, row=row)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().decode("utf-8").splitlines()]


def test_keeps_the_first_five_of_each_kind_and_counts_all() -> None:
    rejects = Rejects()
    for line in range(1, 8):
        reject(rejects, line)
    reject(rejects, 9, RejectKind.BAD_ROW)
    assert rejects.counts == {RejectKind.NO_ID: 7, RejectKind.BAD_ROW: 1}
    assert rejects.total == 8
    assert [r.line for r in rejects.examples[RejectKind.NO_ID]] == [1, 2, 3, 4, 5]
    assert str(rejects.examples[RejectKind.BAD_ROW][0]) == "items.jsonl line 9: reason 9 (bad_row)"


def test_writes_every_row_whole(tmp_path: Path) -> None:
    path = tmp_path / "made" / "rejects.jsonl"
    with Rejects(path) as rejects:
        for line in range(1, 8):
            reject(rejects, line, row={"title": f"東京 🙂 {line}"})
    assert records(path)[6] == {
        "file": "items.jsonl",
        "line": 7,
        "kind": "no_id",
        "reason": "reason 7",
        "row": {"title": "東京 🙂 7"},
    }
    assert len(records(path)) == 7


@pytest.mark.parametrize(
    ("row", "written"),
    [
        (b'{"title": "caf\xe9"}', '{"title": "caf\\xe9"}'),
        ({"title": b"\xff"}, {"title": "\\xff"}),
        ({"title": "lone \ud800"}, {"title": "lone \ud800"}),
    ],
)
def test_rows_that_utf8_cant_hold_are_written(tmp_path: Path, row: object, written: object) -> None:
    with Rejects(tmp_path / "rejects.jsonl") as rejects:
        reject(rejects, 1, row=row)
    assert records(tmp_path / "rejects.jsonl")[0]["row"] == written


def test_without_rejects_there_is_no_file_not_even_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("of the build before")
    with Rejects(path):
        pass
    assert not path.exists()


@pytest.mark.parametrize("name", ["a file/rejects.jsonl", "a folder"])
def test_a_file_that_cant_be_written_ends_the_build(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").write_text("")
    (tmp_path / "a folder").mkdir()
    with pytest.raises(DataError, match="can't be written"), Rejects(tmp_path / name):
        pass


def test_a_full_disk_ends_the_build() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    rejects = Rejects(full)  # not entered: that would remove what was there
    reject(rejects, 1)
    with pytest.raises(DataError, match="can't be written"):
        rejects.__exit__(None, None, None)


def test_a_share_at_the_limit_passes() -> None:
    rejects = Rejects()
    reject(rejects, 1)
    rejects.check_share(100, 0.01, "catalogue")


def test_a_share_over_the_limit_says_how_many_which_and_what_to_do(tmp_path: Path) -> None:
    with Rejects(tmp_path / "rejects.jsonl") as rejects:
        reject(rejects, 4)
        reject(rejects, 5)
        reject(rejects, 7, RejectKind.BROKEN_JSON)
        with pytest.raises(DataError) as caught:
            rejects.check_share(200, 0.01, "catalogue")
    message = str(caught.value)
    assert "3 of 200 catalogue rows" in message
    assert "2 no_id, 1 broken_json" in message
    assert "1.50%" in message
    assert "1.00%" in message
    assert "items.jsonl line 4: reason 4 (no_id); items.jsonl line 7: reason 7 (broken_json)" in message
    assert str(tmp_path / "rejects.jsonl") in message
    assert "raise catalogue.max_reject_share" in message
    assert "\n" not in message


def test_no_rows_are_no_share() -> None:
    Rejects().check_share(0, 0.0, "catalogue")


def test_summary_is_json_ready(tmp_path: Path) -> None:
    with Rejects(tmp_path / "rejects.jsonl") as rejects:
        reject(rejects, 4)
        reject(rejects, 5)
    summary = rejects.summary(8)
    assert json.loads(json.dumps(summary)) == summary
    assert summary == {
        "rejected": 2,
        "share": 0.25,
        "counts": {"no_id": 2},
        "examples": [
            {"file": "items.jsonl", "line": 4, "kind": "no_id", "reason": "reason 4"},
            {"file": "items.jsonl", "line": 5, "kind": "no_id", "reason": "reason 5"},
        ],
        "file": str(tmp_path / "rejects.jsonl"),
    }


def test_summary_without_rejects() -> None:
    assert Rejects(Path("unused")).summary(0) == {
        "rejected": 0,
        "share": 0.0,
        "counts": {},
        "examples": [],
        "file": None,
    }
