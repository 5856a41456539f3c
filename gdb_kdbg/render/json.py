"""Results as JSON: one object a line, `{"schema": 1, "command": ..., "data": {...}, "problems": [...]}`.

Addresses and 64-bit values are strings `"0x..."`, since JavaScript loses bits above 2^53; sizes and counts are numbers.
"""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any, Sequence

from ..units import ADDRESS_MASK, hexadecimal
from .fields import fields_of, is_record

SCHEMA = 1
_NONE = type(None)
_AS_THEY_ARE = frozenset((str, bool, float, _NONE))


def to_json(command: str, result: Any) -> str:
    """Render a result as one line of JSON."""
    data = plain(result)
    problems = data.pop("problems", [])
    return json.dumps({"schema": SCHEMA, "command": command, "data": data, "problems": problems})


def error_to_json(command: str, message: str) -> str:
    """Render an error in the same frame, so that a script reads one shape."""
    return json.dumps({"schema": SCHEMA, "command": command, "data": None, "problems": [message]})


def plain_records(records: Sequence[Any]) -> Sequence[Any]:
    """Return records, which may be of several classes, as what `json.dumps` takes."""
    return _all_plain(list(records), False) if records else ()


def plain(value: Any, is_hexadecimal: bool = False) -> Any:
    """Return a value as what `json.dumps` takes, numbers in hex as text if its field says so."""
    if is_record(value):
        return _objects([value])[0]
    if isinstance(value, (tuple, list)):
        return _all_plain(value, is_hexadecimal)
    if isinstance(value, dict):
        return {name: plain(item, is_hexadecimal) for name, item in value.items()}
    if is_hexadecimal and isinstance(value, int) and not isinstance(value, bool):
        return hexadecimal(value)
    return value


# Thousands of rows are quick only if it is decided once a column, not once a value, what to do.
def _all_plain(values: Sequence[Any], is_hexadecimal: bool) -> Sequence[Any]:
    kinds = set(map(type, values))
    if kinds <= _AS_THEY_ARE or (kinds <= {int, _NONE} and not is_hexadecimal):
        return values
    if kinds <= {int, _NONE}:
        return [None if value is None else f"{value & ADDRESS_MASK:#x}" for value in values]
    if len(kinds) == 1 and is_record(values[0]):
        return _objects(values)
    return [plain(value, is_hexadecimal) for value in values]


def _objects(records: Sequence[Any]) -> list[dict[str, Any]]:
    fields = fields_of(type(records[0]))
    names = [field.name for field in fields]
    columns = [_all_plain(list(map(attrgetter(field.name), records)), field.is_hexadecimal) for field in fields]
    objects = [dict(zip(names, row)) for row in zip(*columns)] if fields else [{} for _ in records]
    # A sparse object (facts of a finding) leaves out what it does not know.
    if getattr(records[0], "SPARSE", False):
        return [{name: item for name, item in pairs.items() if item is not None} for pairs in objects]
    return objects
