import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index_builder.rejects import Rejects
from index_builder.tables import Row, read_rows, require_columns
from models.errors import DataError

ITEMS = [{"id": "a", "title": "東京 🙂"}, {"id": "b", "title": 'שלום "x"\nzwei, drei'}]


def write(path: Path, rows: list[dict]) -> Path:
    """Writes a table in the format that its name asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    packed = path.suffix == ".gz"
    with (
        gzip.open(path, "wt", encoding="utf-8", newline="")
        if packed
        else path.open("w", encoding="utf-8", newline="") as file
    ):
        if ".csv" in path.name.lower():
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path


def read(path: Path) -> list[Row]:
    rejects = Rejects()
    rows = list(read_rows(path, rejects))
    assert not rejects.total
    return rows


FORMATS = ["t.jsonl", "t.jsonl.gz", "t.csv", "t.csv.gz", "t.parquet", "T.CSV"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ITEMS)
    rows = read(path)
    assert [row.values for row in rows] == ITEMS
    assert {row.file for row in rows} == {str(path)}
    assert [row.line for row in rows] == ([2, 3] if "csv" in name.lower() else [1, 2])


def test_a_folder_is_read_whole_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ["b.jsonl", "a/2.csv", "a/1.parquet", "c.jsonl.gz"]:
        write(tmp_path / name, [{"id": name}])
    for name in ["_SUCCESS", ".b.jsonl.crc", "_temporary/half.jsonl", ".git/x.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no table")
    assert [row.values["id"] for row in read(tmp_path)] == ["a/1.parquet", "a/2.csv", "b.jsonl", "c.jsonl.gz"]


def test_a_folder_with_a_dotted_parent(tmp_path: Path) -> None:
    write(tmp_path / ".hidden" / "items" / "t.jsonl", ITEMS)
    assert len(read(tmp_path / ".hidden" / "items")) == 2


def test_what_is_there_but_no_table(tmp_path: Path) -> None:
    (tmp_path / "items.xlsx").write_text("")
    supported = r"\.jsonl, \.jsonl\.gz, \.csv, \.csv\.gz or \.parquet"
    for path in [tmp_path / "items.xlsx", tmp_path]:
        with pytest.raises(DataError, match=rf"items\.xlsx is of no format .* supported are {supported}"):
            list(read_rows(path, Rejects()))


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.csv does not exist; it has to be a \.jsonl"):
        list(read_rows(tmp_path / "items.csv", Rejects()))
    (tmp_path / "_SUCCESS").write_text("")
    with pytest.raises(DataError, match=r"holds no table; put \.jsonl"):
        list(read_rows(tmp_path, Rejects()))


@pytest.mark.parametrize("name", FORMATS)
def test_columns_that_are_there(tmp_path: Path, name: str) -> None:
    require_columns(write(tmp_path / name, ITEMS), ["id", "title"])


@pytest.mark.parametrize("name", FORMATS)
def test_a_column_in_no_row_is_named_with_the_others_and_the_nearest(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ITEMS)
    with pytest.raises(DataError) as caught:
        require_columns(path, ["id", "TITEL"])
    assert str(caught.value) == (f"no row of {path} has a column 'TITEL', there are id, title; did you mean 'title'?")


def test_a_column_may_be_in_a_late_row_of_another_file(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [{"id": "a"}])
    (tmp_path / "b.jsonl").write_text('{"id": "b"}\nbroken\n{"id": "c", "price": null}\n')
    require_columns(tmp_path, ["id", "price"])


def test_of_many_columns_some_are_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", [{f"column{n}": 1 for n in range(30)}])
    with pytest.raises(DataError, match=r"column19 and 10 more$"):
        require_columns(path, ["xyz"])


def test_where_no_row_can_be_read_columns_are_not_the_matter(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("broken\n")
    require_columns(tmp_path, ["id"])
