"""What a caller may say of an item: an id, and values for fields that the artifact knows."""

import difflib

from models.events import MAX_ID_CHARS
from models.manifest import Manifest
from models.types import JsonValue

_INT64 = range(-(2**63), 2**63)


def checked_fields(item: object, manifest: Manifest) -> tuple[str, dict[str, JsonValue]]:
    """Returns an item's id and the fields that it sets.

    Args:
        item: As it came.
        manifest: Of the artifact, which knows the fields.

    Raises:
        ValueError: It says what is wrong.
    """
    if not isinstance(item, dict):
        raise ValueError("it has to be a JSON object")
    item_id = _id(item.get("id"))
    fields: dict[str, JsonValue] = {name: value for name, value in item.items() if name != "id"}
    for name, value in fields.items():
        if name not in manifest.item_fields:
            near = difflib.get_close_matches(name, manifest.item_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(manifest.item_fields)}"
            raise ValueError(f"the catalogue has no field {name[:80]!r}; {hint}")
        _check_value(name, value, is_text=name in manifest.text_fields)
    return item_id, fields


def _id(value: JsonValue) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError("id has to be a string that isn't blank, or an integer")
    if len(value) > MAX_ID_CHARS:
        raise ValueError(f"id has {len(value)} characters, it has at most {MAX_ID_CHARS}")
    return _whole(value, "id")


def _check_value(name: str, value: JsonValue, *, is_text: bool) -> None:
    parts = value if isinstance(value, list) else [value]
    if is_text:
        strings = isinstance(value, list) and all(isinstance(part, str) for part in value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (value is None or isinstance(value, str) or number or strings):
            raise ValueError(f"{name} has to be a string, a number, a list of strings or null")
    elif not all(part is None or isinstance(part, str | bool | int | float) for part in parts):
        raise ValueError(f"{name} has to be a string, a number, a boolean, null or a list of those")
    for part in parts:
        if isinstance(part, str):
            _whole(part, name)
        if type(part) is int and part not in _INT64:
            raise ValueError(f"{name} has to be an integer within 64 bits, or its digits as a string")


def _whole(value: str, name: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{name} holds half a surrogate pair, which can't be stored; send whole characters")
    return value
