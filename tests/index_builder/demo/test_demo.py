"""The demo folder: which files, when they are replaced, and what happens without apt."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from index_builder import demo
from index_builder.config import load_config
from index_builder.demo import DemoReport, small_catalogue_folder, write_demo
from index_builder.demo.debian import PackageDemo
from models.errors import ConfigError, DataError

PACKAGES = PackageDemo(
    items=[
        {"item_id": name, "title": f"does {name} ☃", "description": "", "section": "perl", "source": "s"}
        for name in ("liba-perl", "libb-perl", "libc-perl")
    ],
    related={"u1": ["liba-perl", "libb-perl"], "u2": ["libb-perl", "libc-perl"]},
    texts={"u1": "a 日本語 text", "u2": "another"},
)


@pytest.fixture
def no_apt(monkeypatch):
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def debian(monkeypatch):
    """An apt that gives `PACKAGES`."""
    monkeypatch.setattr(demo, "debian_demo", lambda: PACKAGES)


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_apt_it_is_the_small_catalogue_and_says_why(tmp_path, no_apt):
    report = write_demo(tmp_path / "made" / "here")
    assert (report.source, report.n_items, report.n_users, report.n_interactions) == ("small", 60, 40, 172)
    assert "there is no apt-get on this machine" in report.note
    assert report.lines() == [report.note, "60 items, 40 users, 172 interactions from the small catalogue"]


def test_debian_alone_is_an_error_without_apt(tmp_path, no_apt):
    with pytest.raises(DataError, match="no apt-get"):
        write_demo(tmp_path, source="debian")
    assert names(tmp_path) == set()


def test_small_is_what_the_package_holds(tmp_path):
    report = write_demo(tmp_path, source="small")
    assert report.note == ""
    assert names(tmp_path) == {"items.jsonl", "interactions.jsonl", "recall.toml"}
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (small_catalogue_folder() / path.name).read_bytes()


def test_debian_is_written_by_user_and_item_with_the_text_on_each_row(tmp_path, debian):
    assert write_demo(tmp_path) == DemoReport("debian", 3, 2, 4)
    assert names(tmp_path) == {"items.jsonl", "interactions.parquet", "recall.toml"}
    assert json_lines(tmp_path / "items.jsonl") == PACKAGES.items
    assert pq.read_table(tmp_path / "interactions.parquet").to_pylist() == [
        {"user_id": "u1", "item_id": "liba-perl", "text": "a 日本語 text"},
        {"user_id": "u1", "item_id": "libb-perl", "text": "a 日本語 text"},
        {"user_id": "u2", "item_id": "libb-perl", "text": "another"},
        {"user_id": "u2", "item_id": "libc-perl", "text": "another"},
    ]


def test_the_same_index_gives_the_same_bytes(tmp_path, debian):
    for name in ("a", "b"):
        write_demo(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("source", ["debian", "small"])
def test_recall_toml_is_short_valid_and_names_columns_that_exist(tmp_path, debian, source):
    write_demo(tmp_path, source=source)
    assert 12 <= len((tmp_path / "recall.toml").read_text(encoding="utf-8").splitlines()) <= 25
    config = load_config(tmp_path / "recall.toml")
    assert config.publish.artifacts == tmp_path / "artifacts"
    item = json_lines(config.catalogue.path)[0]
    assert {config.catalogue.id, *config.catalogue.text, *config.catalogue.attributes} == set(item)
    rows = config.interactions
    wanted = {name for name in (rows.user, rows.item, rows.time, rows.text, rows.rating) if name}
    if source == "debian":
        assert wanted == set(pq.read_schema(rows.path).names)
    else:
        assert wanted == set(json_lines(rows.path)[0])
        assert rows.min_rating == 3


@pytest.mark.parametrize("source", ["debian", "small"])
def test_the_artifacts_folder_of_the_command_line_is_kept(tmp_path, debian, source):
    artifacts = tmp_path / 'else"where \\ ü'
    write_demo(tmp_path / "demo", source=source, artifacts=artifacts)
    assert load_config(tmp_path / "demo" / "recall.toml").publish.artifacts == artifacts


def test_a_demo_is_replaced_by_another(tmp_path, debian):
    write_demo(tmp_path, source="small")
    write_demo(tmp_path, source="debian")
    assert names(tmp_path) == {"items.jsonl", "interactions.parquet", "recall.toml"}


@pytest.mark.parametrize("name", ["recall.toml", "items.jsonl", "interactions.jsonl", "interactions.parquet"])
def test_files_that_are_no_demos_are_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=f"{name} exists and belongs to no demo"):
        write_demo(tmp_path, source="small")
    assert names(tmp_path) == {name}
    assert (tmp_path / name).read_text() == "mine"


def test_a_write_that_fails_leaves_nothing(tmp_path, debian, monkeypatch):
    def full(table, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(ConfigError, match="No space left"):
        write_demo(tmp_path)
    assert names(tmp_path) == set()


def test_recall_toml_comes_last(tmp_path, monkeypatch):
    order = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (order.append(target.name), replace(self, target)))
    write_demo(tmp_path, source="small")
    assert order == ["items.jsonl", "interactions.jsonl", "recall.toml"]


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be written into"):
        write_demo(tmp_path / "file", source="small")


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="there is no apt-get on this machine")
def test_debians_real_index(tmp_path):
    report = write_demo(tmp_path, source="debian")
    assert report.n_items > 5000
    assert report.n_users > 3000
    items = {row["item_id"]: row for row in json_lines(tmp_path / "items.jsonl")}
    assert len(items) == report.n_items
    assert "web framework" in items["python3-flask"]["title"]
    assert "Werkzeug" in items["python3-flask"]["description"]
    table = pq.read_table(tmp_path / "interactions.parquet")
    assert table.num_rows == report.n_interactions
    assert set(table["item_id"].to_pylist()) == set(items)
