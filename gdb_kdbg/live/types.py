"""GDB's types as kdbg's."""

from __future__ import annotations

from typing import Mapping

import gdb

from ..target import ArrayType
from ..units import Count, Size


def array_type(of: gdb.Type) -> ArrayType:
    """Describe a variable's type: an array of elements, or one element."""
    outer = of.strip_typedefs()
    if outer.code != gdb.TYPE_CODE_ARRAY:
        return ArrayType(Count(1), Size(outer.sizeof), _fields(outer))
    low, high = outer.range()
    element = outer.target().strip_typedefs()
    return ArrayType(Count(max(0, int(high) - int(low) + 1)), Size(element.sizeof), _fields(element))


def _fields(of: gdb.Type) -> Mapping[str, tuple[int, int]]:
    if of.code != gdb.TYPE_CODE_STRUCT:
        return {}
    return {
        field.name: (field.bitpos // 8, field.type.sizeof)
        for field in of.fields()
        if field.name and field.type is not None and field.bitpos is not None
    }
