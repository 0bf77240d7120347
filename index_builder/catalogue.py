"""Reads the catalogue: rows of a table become items with one clean text each, bad rows become rejects.

Knows what an item needs; not how text is cleaned (`to_text`), nor who names an item (`named`).
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

from index_builder.cells import read_attribute, read_id, read_text
from index_builder.config import CatalogueConfig
from index_builder.rejects import EXAMPLES, RejectKind, Rejects, RowError, show
from index_builder.tables import read_rows, require_columns
from models.errors import DataError
from models.types import Item

ToText = Callable[[Sequence[str]], str]
"""Turns the values of the text columns, in their order and "" where there is none, into one clean text."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The items of a catalogue.

    Attributes:
        items: At least one, in the order of the table; their ids are unique.
        warnings: What the operator should know, one sentence each.
        n_rows: Rows read, good and bad.
    """

    items: list[Item]
    warnings: list[str]
    n_rows: int


def read_catalogue(config: CatalogueConfig, *, to_text: ToText, named: Container[str], rejects: Rejects) -> Catalogue:
    """Reads every item of the catalogue.

    Args:
        config: Where it is and which columns say what.
        to_text: The text recipe.
        named: Item ids that interactions name; such an item stays without text, with a warning.
        rejects: Takes the bad rows of this table, and of no other.

    Raises:
        DataError: The table can't be read, a configured column is in no row, more rows are bad than
            `max_reject_share` allows, or no item is left.
    """
    columns = [config.id, *config.fields]
    require_columns(config.path, columns)
    items: list[Item] = []
    places: dict[str, tuple[str, int]] = {}
    for row in read_rows(config.path, rejects, columns=columns):
        try:
            item = _item(row.values, config, to_text)
            if item.id in places:
                raise _duplicate(item.id, config.id, places[item.id])
            if not item.text and item.id not in named:
                raise RowError(RejectKind.EMPTY_TEXT, f"{', '.join(config.text)}: no text is left after cleaning")
        except RowError as error:
            rejects.add(error, file=row.file, line=row.line, row=row.values)
        else:
            places[item.id] = (row.file, row.line)
            items.append(item)
    n_rows = len(items) + rejects.total
    rejects.check_share(n_rows, config.max_reject_share, "catalogue")
    if not items:
        raise DataError(f"{config.path} holds no usable item in {n_rows} rows; a catalogue needs at least one")
    return Catalogue(items, _warnings(items), n_rows)


def _item(values: Mapping[str, object], config: CatalogueConfig, to_text: ToText) -> Item:
    item_id = read_id(values.get(config.id), config.id)
    text = to_text([read_text(values.get(column), column) for column in config.text])
    fields = {column: read_attribute(values.get(column), column) for column in config.fields}
    return Item(item_id, text, fields)


def _duplicate(item_id: str, column: str, place: tuple[str, int]) -> RowError:
    file, line = place
    return RowError(
        RejectKind.DUPLICATE_ID, f"{column} {show(item_id)} is taken by {file} line {line}; the first row stays"
    )


def _warnings(items: Sequence[Item]) -> list[str]:
    textless = [item.id for item in items if not item.text]
    if not textless:
        return []
    more = ", …" if len(textless) > EXAMPLES else ""
    return [
        f"{len(textless)} items have no text and stay because interactions name them: "
        f"{', '.join(textless[:EXAMPLES])}{more}"
    ]
