"""GDB's types as kdbg's."""

from __future__ import annotations

from typing import Mapping, Optional

import gdb

from ..target import ArrayType
from ..units import Count, Size


def word_type() -> gdb.Type:
    """Return the type of a word of 64 bits; C's names of it are unknown to GDB 16 in a frame of Rust."""
    return gdb.selected_inferior().architecture().integer_type(64, False)


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


def member(of: str, path: str) -> Optional[tuple[int, int]]:
    """Return (offset, size) of `a.b.c` in the type of a global variable, or in the type `struct NAME`."""
    kind = _type_named(of)
    offset = 0
    for name in path.split("."):
        found = _member(kind, name) if kind is not None else None
        if found is None:
            return None
        offset, kind = offset + found[0], found[1]
    return None if kind is None else (offset, kind.sizeof)


def _type_named(of: str) -> Optional[gdb.Type]:
    try:
        if " " in of:
            return gdb.lookup_type(of)
        found = gdb.lookup_global_symbol(of) or gdb.lookup_static_symbol(of)
    except gdb.error:
        return None
    return found.type if found is not None else None


# The members of an anonymous struct or union are those of the struct around it.
def _member(of: gdb.Type, name: str) -> Optional[tuple[int, gdb.Type]]:
    of = of.strip_typedefs()
    if of.code == gdb.TYPE_CODE_ARRAY:
        of = of.target().strip_typedefs()
    if of.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return None
    for field in of.fields():
        position = getattr(field, "bitpos", None)
        if field.type is None or position is None:
            continue
        if field.name == name:
            return position // 8, field.type
        inner = _member(field.type, name) if not field.name else None
        if inner is not None:
            return position // 8 + inner[0], inner[1]
    return None
