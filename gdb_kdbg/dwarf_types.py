"""What DWARF says about the type of a global variable: how many elements of which size, with which fields."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Optional

from .elf import ElfFile, guarded
from .target import ArrayType
from .units import Count, Size

if TYPE_CHECKING:
    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE
    from elftools.dwarf.dwarfinfo import DWARFInfo

_ALIASES = frozenset(f"DW_TAG_{kind}_type" for kind in ("const", "volatile", "atomic", "restrict"))
_RECORDS = frozenset(f"DW_TAG_{kind}_type" for kind in ("structure", "class", "union"))
_POINTERS = frozenset(f"DW_TAG_{kind}_type" for kind in ("pointer", "reference", "rvalue_reference", "ptr_to_member"))
_DW_OP_ADDR = 3
_DEPTH = 64
# Without a location to search for, all units are walked; more than this would take minutes.
_WALK_LIMIT = 8 << 20


def variable_type(elf: ElfFile, name: str) -> Optional[ArrayType]:
    """Return the type of a global or file-local variable; None without debugging information; raise BadFile."""
    with guarded(elf.path):
        dwarf = elf.dwarf()
        if dwarf is None:
            return None
        variable = _by_address(elf, dwarf, name) or _by_name(dwarf, name)
        kind = _type_of(variable) if variable is not None else None
        return _described(kind, elf.bits // 8) if kind is not None else None


def member(elf: ElfFile, of: str, path: str) -> Optional[tuple[int, int]]:
    """Return (offset, size) of `a.b.c` in the structure, or the elements, of a global variable; or raise BadFile."""
    with guarded(elf.path):
        dwarf = elf.dwarf()
        variable = (_by_address(elf, dwarf, of) or _by_name(dwarf, of)) if dwarf is not None else None
        kind = _type_of(variable) if variable is not None else None
        if kind is not None and kind.tag == "DW_TAG_array_type":
            kind = _type_of(kind)
        offset = 0
        for name in path.split("."):
            found = _member_named(kind, name) if kind is not None else None
            if found is None:
                return None
            offset, kind = offset + found[0], found[1]
        return (offset, _size(kind, elf.bits // 8)) if kind is not None else None


def _member_named(kind: DIE, name: str, depth: int = _DEPTH) -> Optional[tuple[int, DIE]]:
    if kind.tag not in _RECORDS or not depth:
        return None
    for child in kind.iter_children():
        type_of_child = _type_of(child) if child.tag == "DW_TAG_member" else None
        if type_of_child is None or "DW_AT_bit_size" in child.attributes:
            continue
        if _name(child) == name:
            return _member_offset(child), type_of_child
        inner = _member_named(type_of_child, name, depth - 1) if not _name(child) else None
        if inner is not None:
            return _member_offset(child) + inner[0], inner[1]
    return None


# A linked definition holds the address of its symbol: one search through the bytes finds its unit, where
# walking all of them would mean to parse half a gigabyte for a Linux kernel.
def _by_address(elf: ElfFile, dwarf: DWARFInfo, name: str) -> Optional[DIE]:
    symbol = elf.symbol_table().by_name(name)
    if symbol is None or dwarf.debug_info_sec is None:
        return None
    word = struct.pack(elf.byte_order + ("Q" if elf.bits == 64 else "I"), symbol.address)
    wanted = bytes([1 + len(word), _DW_OP_ADDR]) + word
    for offset in _occurrences(dwarf.debug_info_sec.stream, wanted):
        unit = dwarf.get_CU_containing(offset)
        found = _die_around(unit.get_top_DIE(), offset)
        if found is not None and found.tag == "DW_TAG_variable":
            return found
    return None


def _occurrences(stream: Any, wanted: bytes) -> Iterator[int]:
    step, tail, start = 1 << 20, b"", 0
    while True:
        stream.seek(start + len(tail))
        block = stream.read(step)
        if not block:
            return
        data = tail + block
        found = data.find(wanted)
        while found >= 0:
            yield start + found
            found = data.find(wanted, found + 1)
        tail = data[-len(wanted) + 1 :]
        start += len(data) - len(tail)


def _die_around(die: DIE, offset: int) -> Optional[DIE]:
    below = None
    for child in die.iter_children():
        if child.offset > offset:
            break
        below = child
    if below is None or offset < below.offset + below.size:
        return below
    return _die_around(below, offset)


def _by_name(dwarf: DWARFInfo, name: str) -> Optional[DIE]:
    if dwarf.debug_info_sec is None or dwarf.debug_info_sec.size > _WALK_LIMIT:
        return None
    declared = None
    for unit in dwarf.iter_CUs():
        for die in _variables(unit, name):
            if "DW_AT_declaration" not in die.attributes:
                return die
            declared = declared or die
    return declared


def _variables(unit: CompileUnit, name: str) -> Iterator[DIE]:
    for die in unit.get_top_DIE().iter_children():
        if die.tag == "DW_TAG_variable" and _name(_origin(die)) == name:
            yield die


# A definition may leave name and type to the declaration that it completes.
def _origin(die: DIE) -> DIE:
    if "DW_AT_specification" in die.attributes:
        return die.get_DIE_from_attribute("DW_AT_specification")
    return die


def _name(die: DIE) -> str:
    value = die.attributes["DW_AT_name"].value if "DW_AT_name" in die.attributes else b""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else ""


def _type_of(die: DIE) -> Optional[DIE]:
    holder = die if "DW_AT_type" in die.attributes else _origin(die)
    for _ in range(_DEPTH):
        if "DW_AT_type" not in holder.attributes:
            return None
        holder = holder.get_DIE_from_attribute("DW_AT_type")
        if holder.tag != "DW_TAG_typedef" and holder.tag not in _ALIASES:
            return holder
    return None


def _described(kind: DIE, word: int) -> ArrayType:
    if kind.tag != "DW_TAG_array_type":
        return ArrayType(Count(1), Size(_size(kind, word)), dict(_fields(kind, word)))
    first, *inner = _dimensions(kind) or [0]
    element = _type_of(kind)
    size = _size(element, word) if element is not None else 0
    for count in inner:
        size *= count
    fields = dict(_fields(element, word)) if element is not None and not inner else {}
    return ArrayType(Count(first), Size(size), fields)


def _dimensions(kind: DIE) -> list[int]:
    return [_count(die.attributes) for die in kind.iter_children() if die.tag == "DW_TAG_subrange_type"]


def _count(attributes: Mapping[str, Any]) -> int:
    if "DW_AT_count" in attributes:
        return _number(attributes["DW_AT_count"].value)
    # An array of unknown length has neither (DWARF 5, 5.13).
    return _number(attributes["DW_AT_upper_bound"].value, -1) + 1 if "DW_AT_upper_bound" in attributes else 0


def _size(kind: DIE, word: int, depth: int = _DEPTH) -> int:
    if "DW_AT_byte_size" in kind.attributes:
        return _number(kind.attributes["DW_AT_byte_size"].value)
    if kind.tag != "DW_TAG_array_type":
        return word if kind.tag in _POINTERS else 0
    element = _type_of(kind)
    size = _size(element, word, depth - 1) if element is not None and depth else 0
    for count in _dimensions(kind):
        size *= count
    return size


def _fields(kind: DIE, word: int, start: int = 0, depth: int = _DEPTH) -> Iterator[tuple[str, tuple[int, int]]]:
    if kind.tag not in _RECORDS or not depth:
        return
    for member in kind.iter_children():
        type_of_member = _type_of(member) if member.tag == "DW_TAG_member" else None
        if type_of_member is None or "DW_AT_bit_size" in member.attributes:
            continue
        offset = start + _member_offset(member)
        if _name(member):
            yield _name(member), (offset, _size(type_of_member, word))
        else:  # The fields of an anonymous struct or union are those of the struct around it.
            yield from _fields(type_of_member, word, offset, depth - 1)


def _member_offset(member: DIE) -> int:
    location = member.attributes.get("DW_AT_data_member_location")
    return _number(location.value) if location is not None else 0


# What is computed at run time (a location expression, the bound of a variable-length array) counts as unknown.
def _number(value: Any, unknown: int = 0) -> int:
    return value if isinstance(value, int) else unknown
