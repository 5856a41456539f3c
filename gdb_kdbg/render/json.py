"""Results as JSON: one object a line, `{"schema": 1, "command": ..., "data": {...}, "problems": [...]}`.

Addresses and 64-bit values are strings `"0x..."`, since JavaScript loses bits above 2^53; sizes and counts are numbers.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Sequence

from ..units import hexadecimal
from .fields import fields_of

SCHEMA = 1


def to_json(command: str, result: Any) -> str:
    """Render a result dataclass as one line of JSON."""
    data = _plain(result, False)
    problems = data.pop("problems", [])
    return json.dumps({"schema": SCHEMA, "command": command, "data": data, "problems": problems})


def error_to_json(command: str, message: str) -> str:
    """Render an error in the same frame, so that a script reads one shape."""
    return json.dumps({"schema": SCHEMA, "command": command, "data": None, "problems": [message]})


def _plain(value: Any, is_hexadecimal: bool) -> Any:
    if dataclasses.is_dataclass(value):
        return _object(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item, is_hexadecimal) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item, is_hexadecimal) for name, item in value.items()}
    if is_hexadecimal and isinstance(value, int) and not isinstance(value, bool):
        return hexadecimal(value)
    return value


def _object(value: Any) -> dict[str, Any]:
    # A sparse object (facts of a finding) leaves out what it does not know.
    sparse = getattr(value, "SPARSE", False)
    pairs: Sequence[tuple[str, Any]] = [
        (field.name, _plain(getattr(value, field.name), field.is_hexadecimal)) for field in fields_of(type(value))
    ]
    return {name: item for name, item in pairs if not (sparse and item is None)}
