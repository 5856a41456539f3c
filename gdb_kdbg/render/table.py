"""Results as text: scalars as labelled lines, rows as a table, findings as paragraphs.

The only importer of tabulate.
"""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any, Callable, Iterable, Sequence

from ..errors import KdbgError
from .fields import Field, fields_of

WIDTH = 110
Style = Callable[[str, str], str]


def plain(text: str, role: str) -> str:
    """Style nothing: for files, pipes and tests."""
    return text


def to_text(result: Any, style: Style = plain) -> str:
    """Render a result dataclass as text without a final newline."""
    lines: list[str] = []
    scalars = [field for field in fields_of(type(result)) if _is_scalar(result, field)]
    lines += _labelled(result, scalars, style)
    for field in fields_of(type(result)):
        value = getattr(result, field.name)
        if field in scalars or field.name == "problems" or not value or field.metadata.get("text") is False:
            continue
        lines += ["", *_rows(field, value, style)] if lines else _rows(field, value, style)
    lines += [style(f"problem: {problem}", "problem") for problem in getattr(result, "problems", ())]
    return "\n".join(lines)


def _is_scalar(result: Any, field: Field) -> bool:
    value = getattr(result, field.name)
    return not isinstance(value, (tuple, dict)) and not dataclasses.is_dataclass(value)


def _labelled(result: Any, fields: Sequence[Field], style: Style) -> list[str]:
    shown = [(field, getattr(result, field.name)) for field in fields if field.metadata.get("text") is not False]
    shown = [(field, value) for field, value in shown if value not in (None, "")]
    width = max((len(field.label) for field, _ in shown), default=0) + 1
    return [f"{field.label + ':':<{width}} {style(_cell(value, field), field.name)}" for field, value in shown]


def _rows(field: Field, value: Any, style: Style) -> list[str]:
    if dataclasses.is_dataclass(value):
        return to_text(value, style).splitlines()
    if isinstance(value, dict):
        return [f"{name}: {_cell(item, field)}" for name, item in value.items()]
    if not dataclasses.is_dataclass(value[0]):
        return [f"{field.label}:", *(f"  {_cell(item, field)}" for item in value)]
    if any(isinstance(getattr(value[0], inner.name), tuple) for inner in fields_of(type(value[0]))):
        return [line for item in value for line in [*_paragraph(item, style), ""]][:-1]
    return _table(value)


def _table(rows: Sequence[Any]) -> list[str]:
    try:
        from tabulate import tabulate
    except ImportError:
        raise KdbgError("tabulate is missing for this python: run scripts/setup, or set the format to json") from None
    columns = [field for field in fields_of(type(rows[0])) if _has_column(rows, field)]
    cells = [[_row_cell(row, field) for field in columns] for row in rows]
    headers = [field.label for field in columns]
    align = ["right" if _is_number(rows, field) else "left" for field in columns]
    return tabulate(cells, headers, tablefmt="simple", colalign=align, disable_numparse=True).splitlines()


def _has_column(rows: Iterable[Any], field: Field) -> bool:
    if field.metadata.get("text") is False or field.name == "line":
        return False
    return any(not _is_blank(getattr(row, field.name)) for row in rows)


def _is_blank(value: Any) -> bool:
    # 0 is a value, False is the absence of a mark.
    return value is None or value is False or value in ("", {})


def _row_cell(row: Any, field: Field) -> str:
    value = getattr(row, field.name)
    # A source place is one thing to a reader: `file` takes `line` with it.
    if field.name == "file" and value and getattr(row, "line", None):
        return f"{value}:{row.line}"
    if isinstance(value, bool):
        return field.label if value else ""
    far = isinstance(value, int) and abs(value) > field.metadata.get("within", abs(value))
    return "" if value is None or far else _cell(value, field)


def _is_number(rows: Iterable[Any], field: Field) -> bool:
    return all(isinstance(getattr(row, field.name), (int, type(None))) for row in rows)


def _cell(value: Any, field: Field) -> str:
    if isinstance(value, dict):
        return " ".join(
            f"{name}={item:#x}" if field.is_hexadecimal else f"{name}={item}" for name, item in value.items()
        )
    if isinstance(value, int) and not isinstance(value, bool) and field.is_hexadecimal:
        return f"{value:#018x}"
    return str(value)


def _paragraph(item: Any, style: Style) -> list[str]:
    lines: list[str] = []
    for field in fields_of(type(item)):
        value = getattr(item, field.name)
        if field.metadata.get("text") is False or value in (None, "", ()):
            continue
        if isinstance(value, tuple):
            lines.append(f"  {field.label}:")
            for entry in value:
                lines += textwrap.wrap(str(entry), WIDTH, initial_indent="    - ", subsequent_indent="      ")
        else:
            prefix = "" if field.metadata.get("label") == "" else f"{field.label}: "
            wrapped = textwrap.wrap(f"{prefix}{value}", WIDTH, subsequent_indent="  ")
            lines += [style(line, field.name) for line in wrapped]
    return lines
