"""Results as text: scalars as labelled lines, rows as a table, findings as paragraphs.

Rows that have rows themselves are shown one after the other, each with its own scalars and tables.
"""

from __future__ import annotations

import sys
from array import array
from operator import attrgetter, itemgetter
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from .columns import aligned
from .fields import Field, fields_of, is_record

WIDTH = 110
_NONE = type(None)
Style = Callable[[str, str], str]


def plain(text: str, role: str) -> str:
    """Style nothing: for files, pipes and tests."""
    return text


def to_text(result: Any, style: Style = plain) -> str:
    """Render a result as text without a final newline."""
    lines: list[str] = []
    scalars = [field for field in fields_of(type(result)) if _is_scalar(result, field)]
    lines += _labelled(result, scalars, style)
    for field in fields_of(type(result)):
        value = getattr(result, field.name)
        if field in scalars or field.name == "problems" or not value or not field.in_text:
            continue
        lines += ["", *_rows(field, value, style)] if lines else _rows(field, value, style)
    lines += [style(f"problem: {problem}", "problem") for problem in getattr(result, "problems", ())]
    return "\n".join(lines)


def _is_scalar(result: Any, field: Field) -> bool:
    value = getattr(result, field.name)
    return not isinstance(value, (tuple, dict)) and not is_record(value)


def _labelled(result: Any, fields: Sequence[Field], style: Style) -> list[str]:
    shown = [(field, getattr(result, field.name)) for field in fields if field.in_text]
    shown = [(field, value) for field, value in shown if value not in (None, "")]
    width = max((len(field.label) for field, _ in shown), default=0) + 1
    return [f"{field.label + ':':<{width}} {style(_cell(value, field), field.name)}" for field, value in shown]


def _rows(field: Field, value: Any, style: Style) -> list[str]:
    if is_record(value):
        return to_text(value, style).splitlines()
    if isinstance(value, dict):
        return [f"{name}: {_cell(item, field)}" for name, item in value.items()]
    if not is_record(value[0]):
        return [f"{field.label}:", *(f"  {_cell(item, field)}" for item in value)]
    inner = fields_of(type(value[0]))
    if any(within.has_rows and within.in_text for within in inner):
        return _separated(to_text(item, style).splitlines() for item in value)
    if any(within.in_text and isinstance(getattr(value[0], within.name), tuple) for within in inner):
        return _separated(_paragraph(item, style) for item in value)
    return _table(value)


def _separated(blocks: Iterable[Sequence[str]]) -> list[str]:
    return [line for block in blocks for line in (*block, "")][:-1]


def _table(rows: Sequence[Any]) -> list[str]:
    fields = [field for field in fields_of(type(rows[0])) if field.in_text and field.name != "line"]
    columns = [_Column(field, values, set(map(type, values))) for field in fields for values in (_values(rows, field),)]
    shown = [column for column in columns if not _is_blank(column)]
    return aligned(
        [column.field.label for column in shown],
        [_texts(column) for column in shown],
        [column.kinds <= {int, bool, _NONE} for column in shown],
    )


class _Column(NamedTuple):
    field: Field
    values: Sequence[Any]
    kinds: set[type]


def _values(rows: Sequence[Any], field: Field) -> Sequence[Any]:
    values = _column(rows, field.name)
    # A source place is one thing to a reader: `file` takes `line` with it.
    if field.name == "file":
        lines = [getattr(row, "line", None) for row in rows]
        return [f"{value}:{line}" if value and line else value for value, line in zip(values, lines)]
    if "unless" in field.metadata:
        name, unwanted = field.metadata["unless"]
        return [None if other == unwanted else value for value, other in zip(values, _column(rows, name))]
    return values


# Of a tuple by its index: by name it takes twice the time.
def _column(rows: Sequence[Any], name: str) -> list[Any]:
    names = getattr(rows[0], "_fields", ())
    return list(map(itemgetter(names.index(name)) if name in names else attrgetter(name), rows))


def _is_blank(column: _Column) -> bool:
    # 0 is a value, False is the absence of a mark.
    return column.kinds <= {_NONE, bool, str, dict} and not any(column.values)


# What to do is decided once a column: decided once a cell, it takes ten times as long.
def _texts(column: _Column) -> Sequence[str]:
    field, values, kinds = column
    if kinds == {str}:
        return values
    if kinds <= {str, _NONE}:
        return [value or "" for value in values]
    if kinds <= {int, _NONE} and "within" not in field.metadata:
        if field.is_hexadecimal:
            return _words(values)
        return ["" if value is None else str(value) for value in values]
    return [_row_cell(value, field) for value in values]


# All at once by the bytes of an array: a tenth of the time that it takes one by one.
def _words(values: Sequence[Any]) -> Sequence[str]:
    has_blanks = None in values
    try:
        words = array("Q", [value or 0 for value in values] if has_blanks else values)
    except OverflowError:
        return ["" if value is None else f"{value:#018x}" for value in values]
    if sys.byteorder == "little":
        words.byteswap()
    texts = ("0x" + words.tobytes().hex("|", words.itemsize).replace("|", "|0x")).split("|")
    return ["" if value is None else text for value, text in zip(values, texts)] if has_blanks else texts


def _row_cell(value: Any, field: Field) -> str:
    if isinstance(value, bool):
        return field.label if value else ""
    far = isinstance(value, int) and abs(value) > field.metadata.get("within", abs(value))
    return "" if value is None or far else _cell(value, field)


def _cell(value: Any, field: Field) -> str:
    if isinstance(value, dict):
        return " ".join(
            f"{name}={item:#x}" if field.is_hexadecimal else f"{name}={item}" for name, item in value.items()
        )
    if isinstance(value, int) and not isinstance(value, bool) and field.is_hexadecimal:
        return f"{value:#018x}"
    return str(value)


def _paragraph(item: Any, style: Style) -> list[str]:
    import textwrap

    lines: list[str] = []
    for field in fields_of(type(item)):
        value = getattr(item, field.name)
        if not field.in_text or value in (None, "", ()):
            continue
        if isinstance(value, tuple) and not is_record(value):
            lines.append(f"  {field.label}:")
            for entry in value:
                lines += textwrap.wrap(str(entry), WIDTH, initial_indent="    - ", subsequent_indent="      ")
        else:
            prefix = "" if field.metadata.get("label") == "" else f"{field.label}: "
            wrapped = textwrap.wrap(f"{prefix}{value}", WIDTH, subsequent_indent="  ")
            lines += [style(line, field.name) for line in wrapped]
    return lines
