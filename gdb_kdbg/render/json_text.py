"""The JSON text of one large record, without the dictionaries that `json.dumps` would take: in half the time."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import repeat
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, Callable, Iterable, Sequence

from ..units import ADDRESS_MASK
from .fields import Field, fields_of, is_record
from .json import plain

# What json.dumps makes of values of one type.
_WORDS = {None: "null", True: "true", False: "false"}
_WRITERS: dict[Any, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    bool: _WORDS.__getitem__,
    type(None): _WORDS.__getitem__,
    int: int.__repr__,
}


def record_texts(record: Any) -> tuple[str, str]:
    """Return a record as JSON, and its own `problems`, which are no part of that."""
    problems = getattr(record, "problems", ())
    told = json.dumps(problems) if problems else "[]"
    if getattr(record, "SPARSE", False):
        return json.dumps({name: value for name, value in plain(record).items() if name != "problems"}), told
    fields = [field for field in fields_of(type(record)) if field.name != "problems"]
    return _object(record, fields), told


def _object(record: Any, fields: Sequence[Field]) -> str:
    return _template(fields) % tuple([_text(getattr(record, field.name), field.is_hexadecimal) for field in fields])


def _text(value: Any, is_hexadecimal: bool) -> str:
    writer = _WRITERS.get(type(value))
    if writer and not (is_hexadecimal and type(value) is int):
        return writer(value)
    return next(iter(_texts((value,), is_hexadecimal)))


# A column at a time, since what to do is decided by the types of its values; in many columns all values are the same.
def _texts(values: Sequence[Any], is_hexadecimal: bool) -> Iterable[str]:
    kinds = set(map(type, values))
    kind = kinds.pop()
    writer = None if kind is int and is_hexadecimal else _WRITERS.get(kind)
    if not kinds and writer:
        return map(writer, values) if values.count(values[0]) < len(values) else repeat(writer(values[0]), len(values))
    if not kinds and kind in (tuple, list):
        return [f"[{', '.join(_texts(value, is_hexadecimal))}]" if value else "[]" for value in values]
    if not kinds and is_record(values[0]) and not getattr(values[0], "SPARSE", False):
        return _objects(values)
    if is_hexadecimal and {kind, *kinds} <= {int, type(None)}:
        return ["null" if value is None else f'"{value & ADDRESS_MASK:#x}"' for value in values]
    return [json.dumps(plain(value, is_hexadecimal)) for value in values]


def _objects(records: Sequence[Any]) -> Iterable[str]:
    fields = fields_of(type(records[0]))
    if not fields:
        return repeat("{}", len(records))
    if len(records) == 1:
        return (_object(records[0], fields),)
    columns: Iterable[Sequence[Any]] = (list(map(attrgetter(field.name), records)) for field in fields)
    if isinstance(records[0], tuple):
        columns = zip(*records)
    texts = [_texts(column, field.is_hexadecimal) for field, column in zip(fields, columns)]
    return map(_template(fields).__mod__, zip(*texts))


def _template(fields: Sequence[Field]) -> str:
    return _of_names(tuple(field.name for field in fields))


@lru_cache(maxsize=None)
def _of_names(names: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{name}": %s' for name in names) + "}"
