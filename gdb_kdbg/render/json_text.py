"""The JSON text of records: of a large one without the dictionaries of `json.dumps`, in a third of the time."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import chain, repeat
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, Callable, Iterable, Sequence

from ..units import ADDRESS_MASK
from .fields import fields_of, is_record
from .json import plain, plain_records

# What json.dumps makes of values of one type.
_WORDS = {None: "null", True: "true", False: "false"}
_WRITERS: dict[Any, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    bool: _WORDS.__getitem__,
    type(None): _WORDS.__getitem__,
    int: str,
}
# What is decided once a class: the template of an object, what gets the values of a record, and which are in hex.
_Layout = tuple[str, Callable[[Any], Sequence[Any]], Sequence[bool]]


def record_texts(record: Any) -> tuple[str, str]:
    """Return a record as JSON, and its own `problems`, which are no part of that."""
    problems = getattr(record, "problems", ())
    told = json.dumps(problems) if problems else "[]"
    if getattr(record, "SPARSE", False):
        return json.dumps({name: value for name, value in plain(record).items() if name != "problems"}), told
    fields = getattr(type(record), "_fields", ("problems",))
    return _object(record, _layout(type(record), "problems" if "problems" in fields else "")), told


def texts_of_records(records: Sequence[Any]) -> Iterable[tuple[str, str]]:
    """Return the same of many small records of one kind, a column at a time."""
    made = [(record.pop("problems", ()), record) for record in plain_records(records)]
    return ((json.dumps(record), json.dumps(told)) for told, record in made)


def _object(record: Any, layout: _Layout) -> str:
    template, values, hexadecimal = layout
    return template % tuple(
        [
            encode_basestring_ascii(value)
            if (kind := type(value)) is str
            else value
            if kind is int and not is_hexadecimal
            else _text(value, is_hexadecimal)
            for value, is_hexadecimal in zip(values(record), hexadecimal)
        ]
    )


def _text(value: Any, is_hexadecimal: bool) -> str:
    kind = type(value)
    writer = _WRITERS.get(kind)
    if writer:
        return f'"{value & ADDRESS_MASK:#x}"' if kind is int and is_hexadecimal else writer(value)
    if kind in (tuple, list):
        return f"[{_joined(value, is_hexadecimal)}]" if value else "[]"
    if is_record(value) and not getattr(value, "SPARSE", False):
        return _object(value, _layout(kind))
    return json.dumps(plain(value, is_hexadecimal)) if value or kind is not dict else "{}"


def _joined(values: Sequence[Any], is_hexadecimal: bool) -> str:
    return _rows(values) if _are_rows(values) else ", ".join(_texts(values, is_hexadecimal))


def _are_rows(values: Sequence[Any]) -> bool:
    first = values[0]
    if len(values) == 1 or not is_record(first) or getattr(first, "SPARSE", False):
        return False
    return bool(fields_of(type(first))) and _is_one_kind(values)


# A column at a time, since what to do is decided by the types of its values.
def _texts(values: Sequence[Any], is_hexadecimal: bool) -> Iterable[str]:
    kind = type(values[0])
    if kind not in _WRITERS or not _is_one_kind(values):
        return map(_text, values, repeat(is_hexadecimal))
    if kind is int and is_hexadecimal:
        return [f'"{value & ADDRESS_MASK:#x}"' for value in values]
    return map(_WRITERS[kind], values)


# The values of many columns are the same in all rows, and so part of what stands between the others. To join these and
# that takes a third of the time of a template for each row.
def _rows(records: Sequence[Any]) -> str:
    fields = fields_of(type(records[0]))
    columns = zip(*records) if isinstance(records[0], tuple) else zip(*map(_layout(type(records[0]))[1], records))
    between = ["{"]
    others: list[Iterable[str]] = []
    for field, column in zip(fields, columns):
        between[-1] += f'"{field.name}": '
        if _is_constant(column):
            between[-1] += f"{_text(column[0], field.is_hexadecimal)}, "
        else:
            others.append(_texts(column, field.is_hexadecimal))
            between.append(", ")
    between[-1] = f"{between[-1][:-2]}}}"
    if not others:
        return ", ".join([between[0]] * len(records))
    first, *rest = between
    rest[-1] += f", {first}"
    pieces = [piece for column, after in zip(others, rest) for piece in (column, repeat(after))]
    return first + "".join(chain.from_iterable(zip(*pieces)))[: -len(first) - 2]


def _is_constant(column: Sequence[Any]) -> bool:
    first = column[0]
    kind = type(first)
    if kind not in _WRITERS or first != column[-1] or column.count(first) < len(column):
        return False
    return kind is str or first is None or _is_one_kind(column)  # 1 is True


def _is_one_kind(values: Sequence[Any]) -> bool:
    return len(set(map(type, values))) == 1


def _layout(cls: Any, without: str = "") -> _Layout:
    return _layout_of(cls, without)


# An attrgetter gives no sequence for one name, and cannot be made of none.
def _getter(names: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    if len(names) > 1:
        return attrgetter(*names)

    def each(record: Any) -> Sequence[Any]:
        return [getattr(record, name) for name in names]

    return each


@lru_cache(maxsize=None)
def _layout_of(cls: Any, without: str) -> _Layout:
    fields = [field for field in fields_of(cls) if field.name != without]
    names = [field.name for field in fields]
    values = tuple if issubclass(cls, tuple) and not without else _getter(names)
    template = "{" + ", ".join(f'"{name}": %s' for name in names) + "}"
    return template, values, tuple(field.is_hexadecimal for field in fields)
