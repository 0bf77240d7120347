"""What one cell of a table may be: an id, a text, a number, an attribute. Knows neither files nor tables."""

import math

from index_builder.rejects import RejectKind, RowError, show
from models.types import JsonValue

MAX_ID_CHARS = 512
_INT64 = range(-(2**63), 2**63)


def read_id(value: object, column: str) -> str:
    """Returns an id as the project uses it: the string as it stands, or the digits of an integer.

    Raises:
        RowError: The cell is empty or blank, longer than `MAX_ID_CHARS`, or neither string nor integer.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError(RejectKind.NO_ID, f"{column} is {'missing' if value is None else 'blank'}")
    if not isinstance(value, str):
        raise _wrong_type(value, column, "a string or an integer")
    if len(value) > MAX_ID_CHARS:
        raise RowError(
            RejectKind.LONG_ID,
            f"{column} has {len(value)} characters, an id has at most {MAX_ID_CHARS}: {show(value)}",
        )
    return value


def read_text(value: object, column: str) -> str:
    """Returns a text: a string as it stands, a number's digits, strings joined by blanks, "" for nothing.

    Raises:
        RowError: The cell is of another type.
    """
    match value:
        case None:
            return ""
        case str():
            return value
        case int() | float() if not isinstance(value, bool):
            return str(value)
        case list() if all(isinstance(part, str) for part in value):
            return " ".join(value)
    raise _wrong_type(value, column, "a string, a number or a list of strings")


def read_number(value: object) -> float | None:
    """Returns the finite number that a cell holds or spells, or None where it does neither."""
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_attribute(value: object, column: str) -> JsonValue:
    """Returns an attribute with its JSON type: string, number, boolean, null, or a list of those.

    Raises:
        RowError: The cell is of another type, or an integer that 64 bits can't hold.
    """
    parts = value if isinstance(value, list) else [value]
    if not all(part is None or isinstance(part, str | bool | int | float) for part in parts):
        raise _wrong_type(value, column, "a string, a number, a boolean, null or a list of those")
    if any(type(part) is int and part not in _INT64 for part in parts):
        raise _wrong_type(value, column, "an integer within 64 bits, or its digits as a string")
    return value  # type: ignore[return-value]  # checked above


def _wrong_type(value: object, column: str, wanted: str) -> RowError:
    return RowError(
        RejectKind.WRONG_TYPE, f"{column} is the {type(value).__name__} {show(value)}, it has to be {wanted}"
    )
