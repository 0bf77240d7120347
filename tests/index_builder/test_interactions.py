import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.config import InteractionsConfig
from index_builder.event_times import TimeKind
from index_builder.interactions import RawInteractions, UnknownItems, read_interactions
from index_builder.rejects import RejectKind, Rejects
from models.errors import DataError
from models.training.split import split

COLUMNS = {"time": "at", "text": "said", "rating": "stars", "min_rating": 4.0}


def read(path: Path, *, rejects: Rejects | None = None, **config: object) -> RawInteractions:
    settings = {"user": "user", "item": "item", "max_reject_share": 1.0} | config
    return read_interactions(InteractionsConfig(path=path, **settings), rejects=rejects or Rejects())


def jsonl(path: Path, *rows: dict | str) -> Path:
    path.write_text("".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "interactions.jsonl"


GOOD = {"user": "u", "item": "a", "at": 1, "said": "hello", "stars": 5}


def test_rows_become_arrays(table: Path) -> None:
    jsonl(
        table,
        {"user": "u", "item": 7, "at": "2024-01-02", "said": "loved it"},
        {"user": 9, "item": "b", "at": "2024-01-01T00:00:00Z", "said": ""},
        {"user": "u", "item": "7", "at": "2024-01-03", "said": None},
    )
    raw = read(table, time="at", text="said")
    assert raw.named == {"7", "b"}
    assert raw.n_rows == 3
    assert raw.time_kind is TimeKind.DATE
    interactions, unknown = raw.to_interactions({"b": 0, "x": 1, "7": 2})
    assert interactions.users.tolist() == [1, 0, 1]
    assert interactions.users.dtype == interactions.items.dtype == np.int64
    assert interactions.user_ids == ("9", "u")  # by id
    assert interactions.items.tolist() == [2, 0, 2]
    assert interactions.times is not None
    assert interactions.times.tolist() == [1704153600.0, 1704067200.0, 1704240000.0]
    assert interactions.texts == ("loved it", None, None)
    assert unknown == UnknownItems(0, 0, ())


def test_dates_of_which_no_row_is_usable_are_that_and_no_crash(table: Path) -> None:
    rows = [GOOD | {"at": f"{day}/12/2024", "stars": 1} for day in range(1, 20)]
    with pytest.raises(DataError, match=r"no usable interaction in 19 rows, 19 below min_rating 4\.0"):
        read(jsonl(table, *rows), **COLUMNS)


def test_a_stray_first_time_is_the_row_that_is_bad(table: Path) -> None:
    rejects = Rejects()
    rows = [{"user": "u", "item": f"i{row}", "at": 1_700_000_000 + row} for row in range(200)]
    raw = read(jsonl(table, GOOD | {"at": "n/a"}, *rows), rejects=rejects, time="at")
    assert raw.time_kind is TimeKind.NUMBER
    assert (len(raw.users), rejects.total) == (200, 1)
    (reject,) = rejects.examples[RejectKind.WRONG_TYPE]
    assert (reject.line, reject.reason) == (1, "at is 'n/a', it has to be a number as the other rows have")


@pytest.mark.parametrize("time", [None, "at"])
def test_what_judges_does_not_depend_on_the_order_of_an_export(table: Path, time: str | None) -> None:
    """All times are equal, which is as good as none."""
    rng = np.random.default_rng(0)
    rows = [{"user": f"u{user}", "item": int(item), "at": 5} for user in range(40) for item in rng.permutation(30)[:5]]
    judged = []
    for order in (range(len(rows)), rng.permutation(len(rows))):
        jsonl(table, *(rows[row] for row in order))
        known, _ = read(table, time=time).to_interactions({str(item): item for item in range(30)})
        judged.append([(known.user_ids[case.user], case.targets.tolist()) for case in split(known).cases])
    assert judged[0] == judged[1]
    assert len(judged[0]) >= 4


def test_without_time_and_text_there_is_neither(table: Path) -> None:
    interactions, _ = read(jsonl(table, GOOD)).to_interactions({"a": 0})
    assert interactions.times is None
    assert interactions.texts is None


def test_unknown_items_are_left_out_and_counted(table: Path) -> None:
    jsonl(
        table,
        {"user": "u", "item": "x1", "at": 5, "said": "one"},
        {"user": "v", "item": "a", "at": 4, "said": "two"},
        *({"user": "w", "item": f"x{n % 7}", "at": n, "said": "three"} for n in range(14)),
        {"user": "w", "item": "b", "at": 3, "said": "four"},
    )
    interactions, unknown = read(table, time="at", text="said").to_interactions({"a": 0, "b": 1})
    assert interactions.user_ids == ("v", "w")
    assert interactions.users.tolist() == [0, 1]
    assert interactions.items.tolist() == [0, 1]
    assert interactions.times is not None
    assert interactions.times.tolist() == [4.0, 3.0]
    assert interactions.texts == ("two", "four")
    assert unknown == UnknownItems(n_rows=15, n_ids=7, examples=("x1", "x0", "x2", "x3", "x4"))


def test_no_known_item_at_all_shows_ids_of_both_sides(table: Path) -> None:
    raw = read(jsonl(table, {"user": "u", "item": "sku-1"}))
    with pytest.raises(DataError, match=r"none of the 1 interactions .* they name 'sku-1'; the catalogue has '1', '2'"):
        raw.to_interactions({"1": 0, "2": 1})


def test_rows_below_the_rating_or_without_one_are_counted_not_rejected(table: Path) -> None:
    rejects = Rejects()
    jsonl(
        table,
        GOOD | {"stars": 4},
        GOOD | {"stars": 3.9, "item": "low", "user": "low", "at": None},
        GOOD | {"stars": None, "item": "unrated"},
        GOOD | {"stars": "4.5", "item": "b"},
    )
    raw = read(table, rejects=rejects, **COLUMNS)
    assert raw.item_ids == ("a", "b")
    assert raw.user_ids == ("u",)
    assert (raw.n_rows, raw.n_below_rating, raw.n_unrated, rejects.total) == (4, 1, 1, 0)


def test_without_a_least_rating_the_rating_says_nothing(table: Path) -> None:
    raw = read(jsonl(table, GOOD | {"stars": 1}, GOOD | {"stars": "bad"}), rating="stars")
    assert (len(raw.users), raw.n_below_rating) == (2, 0)


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({"user": None}, RejectKind.NO_ID, "user is missing"),
        ({"user": True}, RejectKind.WRONG_TYPE, "user is the bool True"),
        ({"item": ""}, RejectKind.NO_ID, "item is blank"),
        ({"item": 12.0}, RejectKind.WRONG_TYPE, "item is the float 12.0"),
        ({"item": "x" * 513}, RejectKind.LONG_ID, "item has 513 characters"),
        ({"at": None}, RejectKind.NO_TIME, "at is missing"),
        ({"at": "yesterday"}, RejectKind.WRONG_TYPE, "at is 'yesterday', it has to be a number"),
        ({"said": {}}, RejectKind.WRONG_TYPE, "said is the dict {}"),
        ({"stars": "many"}, RejectKind.WRONG_TYPE, "stars is 'many', it has to be a number"),
    ],
)
def test_a_bad_row_is_shown_written_whole_and_leaves_no_trace(
    tmp_path: Path, table: Path, change: dict, kind: RejectKind, reason: str
) -> None:
    bad = {"user": "bad", "item": "bad", "at": 2, "said": "bad", "stars": 5} | change
    jsonl(table, GOOD, bad, GOOD | {"item": "b", "at": 3})
    with Rejects(tmp_path / "rejects.jsonl") as rejects:
        raw = read(table, rejects=rejects, **COLUMNS)
    assert (raw.user_ids, raw.item_ids, raw.n_rows) == (("u",), ("a", "b"), 3)
    assert raw.times is not None
    assert raw.times.tolist() == [1.0, 3.0]
    assert raw.texts == ["hello", "hello"]
    (example,) = rejects.examples[kind]
    assert (example.file, example.line) == (str(table), 2)
    assert example.reason.startswith(reason)
    assert json.loads((tmp_path / "rejects.jsonl").read_text())["row"] == bad


@pytest.mark.parametrize(("n_bad", "passes"), [(1, True), (2, False)])
def test_one_percent_of_bad_rows_passes_and_no_more(table: Path, n_bad: int, passes: bool) -> None:
    jsonl(table, *[GOOD] * (100 - n_bad), *["broken"] * n_bad)
    config = InteractionsConfig(path=table, user="user", item="item")
    if passes:
        assert len(read_interactions(config, rejects=Rejects()).users) == 99
    else:
        with pytest.raises(DataError, match=r"2 of 100 interactions rows .* line 99: the line is not JSON"):
            read_interactions(config, rejects=Rejects())


@pytest.mark.parametrize("role", ["user", "item", "time", "text", "rating"])
def test_a_column_that_no_row_has_ends_the_build(table: Path, role: str) -> None:
    jsonl(table, GOOD)
    with pytest.raises(DataError, match=r"has a column 'itme', there are user, item, .* did you mean 'item'"):
        read(table, **{role: "itme"})


def test_nothing_left_ends_the_build(table: Path) -> None:
    jsonl(table, GOOD | {"stars": 1})
    with pytest.raises(DataError, match=r"interaction in 1 rows, 1 below min_rating 4\.0, 0 not rated; mend"):
        read(table, **COLUMNS)
    with pytest.raises(DataError, match="no usable interaction in 0 rows; mend"):
        read(jsonl(table))


def test_a_folder_of_mixed_files_is_one_table_with_one_kind_of_time(tmp_path: Path) -> None:
    at = pa.array([1_000, None], pa.timestamp("ms", "UTC"))
    pq.write_table(pa.table({"user": [1, 2], "item": ["a", "b"], "at": at}), tmp_path / "1.parquet")
    (tmp_path / "2.csv").write_text("item,user,at\na,2,1970-01-01T00:00:02\na,3,three\n")
    jsonl(tmp_path / "3.jsonl", {"user": 1, "item": "c", "at": "1970-01-01T01:00:03+01:00"})
    rejects = Rejects()
    raw = read(tmp_path, time="at", rejects=rejects)
    assert raw.times is not None
    assert raw.times.tolist() == [1.0, 2.0, 3.0]
    assert (raw.user_ids, raw.item_ids) == (("1", "2"), ("a", "c"))
    assert rejects.counts == {RejectKind.NO_TIME: 1, RejectKind.WRONG_TYPE: 1}


def test_a_text_that_repeats_is_kept_once(table: Path) -> None:
    raw = read(jsonl(table, *[GOOD | {"said": "a long text " * 50}] * 3), text="said")
    assert raw.texts is not None
    assert raw.texts[0] is raw.texts[1] is raw.texts[2]


_IDS = st.sampled_from([f"id{n}" for n in range(6)])


@given(st.lists(st.tuples(_IDS, _IDS, st.integers(0, 5)), min_size=1), st.sets(_IDS, min_size=1))
def test_arrays_say_what_the_rows_said(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], catalogue: set[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.jsonl"
    jsonl(path, *({"user": user, "item": item, "at": at} for user, item, at in rows))
    known = [row for row in rows if row[1] in catalogue]
    row_ids = sorted(catalogue)
    rows_by_id = {item_id: row for row, item_id in enumerate(row_ids)}
    raw = read(path, time="at")
    if not known:
        with pytest.raises(DataError, match="none of the"):
            raw.to_interactions(rows_by_id)
        return
    interactions, unknown = raw.to_interactions(rows_by_id)
    assert interactions.times is not None
    assert known == [
        (interactions.user_ids[user], row_ids[item], at)
        for user, item, at in zip(interactions.users, interactions.items, interactions.times, strict=True)
    ]
    assert set(interactions.user_ids) == {user for user, _, _ in known}
    assert unknown.n_rows == len(rows) - len(known)
    assert unknown.n_ids == len({item for _, item, _ in rows} - catalogue)
