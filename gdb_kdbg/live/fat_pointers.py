"""From an expression to the vtable it has to do with: GDB's values of Rust's trait objects and of C++ objects.

Nothing here is formatted by GDB: asked to print a pointer into a table, GDB 13 warns of internal errors.
"""

from __future__ import annotations

from typing import Iterator, Optional

import gdb

from ..errors import KdbgError
from ..units import ADDRESS_MASK, Address, shown
from ..vtable_words import ADDRESS, FAT_POINTER, OBJECT, VtablePointer
from .types import word_type

_STRUCTS = (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION)
_REFERENCES = (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF)
_DEPTH, _FIELDS = 12, 1000
_FAT = {"pointer", "vtable"}


def vtable_pointer(expression: str) -> VtablePointer:
    """Evaluate an expression in the selected frame and say what it has to do with a vtable; raise KdbgError."""
    try:
        return _pointer_of(_evaluated(expression), expression)
    except gdb.MemoryError:
        raise KdbgError(f"cannot read {expression!r}: its memory is not mapped") from None
    except gdb.error as error:
        text = str(error).strip().rstrip(".")
        if "optimized out" in text or "synthetic pointer" in text or "implicit" in text:
            text += ": the compiler kept no such pointer; give the table's address, a register for instance"
        raise KdbgError(f"cannot evaluate {expression!r}: {text}") from None


# A symbol without debugging information, `_ZTV5Horse` for instance, stands for its address.
def _evaluated(expression: str) -> gdb.Value:
    try:
        value = gdb.parse_and_eval(expression)
    except gdb.error as error:
        if "has unknown type" not in str(error):
            raise
        value = gdb.parse_and_eval(f"&({expression})")
    assert value is not None
    return value


def _pointer_of(value: gdb.Value, expression: str) -> VtablePointer:
    kind = value.type.strip_typedefs()
    if kind.code in _REFERENCES:
        return _object_or_fat(value.referenced_value(), expression)
    if kind.code in _STRUCTS:
        return _object_or_fat(value, expression)
    if kind.code == gdb.TYPE_CODE_PTR and kind.target().strip_typedefs().code in _STRUCTS:
        return _behind_pointer(value, kind.target().strip_typedefs(), expression)
    if kind.code in (gdb.TYPE_CODE_ERROR, gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_FUNC) and value.address is not None:
        value = value.address
    number = value.cast(word_type())
    return VtablePointer(ADDRESS, Address(int(number) & ADDRESS_MASK))


# The pointer itself may be a slot that is not relocated yet.
def _behind_pointer(value: gdb.Value, target: gdb.Type, expression: str) -> VtablePointer:
    if _is_polymorphic(target) or not target.fields():
        slot = None if value.address is None else _number(value.address)
        return VtablePointer(OBJECT, _number(value), None, shown(str(target.name or target)), slot)
    if not int(value):
        raise KdbgError(f"{expression!r} is a null pointer")
    return _object_or_fat(value.dereference(), expression)


def _object_or_fat(value: gdb.Value, expression: str) -> VtablePointer:
    kind = value.type.strip_typedefs()
    name = shown(str(kind.name or kind))
    # Of a class whose functions are in a library the compiler describes only that it exists.
    if (_is_polymorphic(kind) or not kind.fields()) and value.address is not None:
        return VtablePointer(OBJECT, Address(int(value.address) & ADDRESS_MASK), None, name)
    fat = _first_fat(value)
    if fat is None:
        raise KdbgError(f"{expression!r} is a {name}, which has no virtual functions and leads to no `dyn` value")
    table, data = fat["vtable"], fat["pointer"]
    if table.is_optimized_out or _is_synthetic(table):
        raise gdb.error("the vtable pointer has been optimized out")
    slot = None if table.address is None else Address(int(table.address) & ADDRESS_MASK)
    type_name = shown(str(fat.type.strip_typedefs().name or name))
    known = not data.is_optimized_out and not _is_synthetic(data)
    return VtablePointer(FAT_POINTER, _number(table), _number(data) if known else None, type_name, slot)


# GDB reads a pointer to what is in no memory as 0. Formatting that is safe, it has no place to look up.
def _is_synthetic(value: gdb.Value) -> bool:
    return int(value) == 0 and "synthetic" in value.format_string()


def _number(value: gdb.Value) -> Address:
    return Address(int(value) & ADDRESS_MASK)


# GDB does not say which base is virtual, but a class with one of those has a vptr in any case.
def _is_polymorphic(kind: gdb.Type, depth: int = 0) -> bool:
    if kind.code != gdb.TYPE_CODE_STRUCT or depth > _DEPTH:
        return False
    for field in kind.fields():
        if (field.name or "").startswith("_vptr"):
            return True
        if not field.is_base_class or field.type is None:
            continue
        if not hasattr(field, "bitpos") or _is_polymorphic(field.type.strip_typedefs(), depth + 1):
            return True
    return False


def _first_fat(value: gdb.Value) -> Optional[gdb.Value]:
    left = iter(range(_FIELDS))
    return next(_fat_values(value, left, 0), None)


def _fat_values(value: gdb.Value, left: Iterator[int], depth: int) -> Iterator[gdb.Value]:
    kind = value.type.strip_typedefs()
    if kind.code not in _STRUCTS or depth > _DEPTH:
        return
    fields = kind.fields()
    if {field.name for field in fields} == _FAT:
        yield value
        return
    for field in fields:
        if next(left, None) is None:
            return
        if field.type is not None and field.type.strip_typedefs().code in _STRUCTS:
            yield from _fat_values(value[field], left, depth + 1)
