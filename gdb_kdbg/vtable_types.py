"""What DWARF says of Rust's vtables: rustc describes each as a variable `<T as Trait>::{vtable}`.

The variable's type has a member for each word that is in use. Found by the address in the variable's location: one
search through `.debug_info`, and then only the few entries at hits are parsed. Source: rustc's
`rustc_codegen_llvm::debuginfo::metadata::create_vtable_di_node`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Optional, Sequence

from .elf import ElfFile, guarded

if TYPE_CHECKING:
    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE
    from elftools.dwarf.dwarfinfo import DWARFInfo

# Tables are looked for in aligned windows, so that neighbours come from one search. None is longer than the reach.
_WINDOW = 4096
_REACH = 4096
_BLOCK = 1 << 20
# DW_FORM_exprloc of 9 bytes, DW_OP_addr.
_LOCATION = b"\x09\x03"
# Tag, name, type and perhaps linkage name stand before the location.
_BEFORE_LOCATION = range(3, 33)
_NAME = re.compile(r"<(.*)>::\{vtable\}", re.DOTALL)
_SUFFIX = b"::{vtable}"
_MEMBERS = 4096


class DwarfTable(NamedTuple):
    """A table as DWARF describes it; `members` are (offset, name), the names without leading underscores."""

    address: int
    size: int
    type: str
    trait: str
    members: tuple[tuple[int, str], ...]


def tables_at(elf: ElfFile, link_address: int) -> Sequence[DwarfTable]:
    """Return the tables at a link-time address; several where equal ones were merged; raise BadFile."""
    return [table for table in _window(elf, link_address // _WINDOW) if table.address == link_address]


def table_around(elf: ElfFile, link_address: int) -> Optional[DwarfTable]:
    """Return the table that an address is in the middle of; raise BadFile."""
    found = _window(elf, link_address // _WINDOW)
    return next((t for t in found if t.address < link_address < t.address + t.size), None)


def next_table(elf: ElfFile, link_address: int) -> Optional[int]:
    """Return the address of the next table behind an address, None if it is far away; raise BadFile."""
    return min((t.address for t in _window(elf, link_address // _WINDOW) if t.address > link_address), default=None)


@lru_cache(maxsize=256)
def _window(elf: ElfFile, number: int) -> tuple[DwarfTable, ...]:
    with guarded(elf.path):
        dwarf = elf.dwarf() if elf.bits == 64 and elf.byte_order == "<" and _has_tables(elf) else None
        if dwarf is None or dwarf.debug_info_sec is None:
            return ()
        low, high = max(number * _WINDOW - _REACH, 0), (number + 1) * _WINDOW + _REACH
        found = (_table_at(dwarf, place, address) for place, address in _locations(dwarf, low, high))
        return tuple(table for table in found if table is not None)


# Files of other languages are spared the search, of which the hits would be their variables.
@lru_cache(maxsize=64)
def _has_tables(elf: ElfFile) -> bool:
    dwarf = elf.dwarf()
    sections = (dwarf.debug_str_sec, dwarf.debug_info_sec) if dwarf is not None else ()
    return any(_contains(section.stream, _SUFFIX) for section in sections if section is not None)


def _contains(stream: Any, wanted: bytes) -> bool:
    stream.seek(0)
    tail = b""
    while True:
        data = stream.read(_BLOCK)
        if wanted in tail + data:
            return True
        if not data:
            return False
        tail = data[-len(wanted) :]


# Addresses in one window differ in their two or three lowest bytes only.
def _locations(dwarf: DWARFInfo, low: int, high: int) -> Iterator[tuple[int, int]]:
    tails = {(value >> 16).to_bytes(6, "little") for value in (low, high - 1, (low + high) // 2)}
    wanted = re.compile(re.escape(_LOCATION) + b"(..(?:" + b"|".join(map(re.escape, tails)) + b"))", re.DOTALL)
    assert dwarf.debug_info_sec is not None
    stream, start = dwarf.debug_info_sec.stream, 0
    while True:
        stream.seek(start)
        data = stream.read(_BLOCK + len(_LOCATION) + 7)
        for hit in wanted.finditer(data):
            address = int.from_bytes(hit[1], "little")
            if low <= address < high:
                yield start + hit.start(), address
        if len(data) <= _BLOCK:
            return
        start += _BLOCK


def _table_at(dwarf: DWARFInfo, place: int, address: int) -> Optional[DwarfTable]:
    assert dwarf.debug_info_sec is not None
    variable = _variable(dwarf.get_CU_containing(place), dwarf.debug_info_sec.stream, place)
    if variable is None:
        return None
    named = _NAME.fullmatch(_name(variable))
    if named is None or "DW_AT_type" not in variable.attributes:
        return None
    kind = variable.get_DIE_from_attribute("DW_AT_type")
    if kind.tag != "DW_TAG_structure_type":
        return None
    members = sorted(_members(kind))
    size = kind.attributes["DW_AT_byte_size"].value if "DW_AT_byte_size" in kind.attributes else 0
    last = members[-1][0] + 8 if members else 0
    return DwarfTable(address, min(max(size, last), _REACH), *split_name(named[1]), tuple(members))


# Entries have no mark where they start, but one that is parsed from its start has its location where it was found.
def _variable(unit: CompileUnit, stream: Any, place: int) -> Optional[DIE]:
    entry: Any = type(unit.get_top_DIE())
    for before in _BEFORE_LOCATION:
        if place - before < unit.cu_die_offset:
            return None
        try:
            die: DIE = entry(unit, stream, place - before)
            if die.tag == "DW_TAG_variable" and die.attributes["DW_AT_location"].offset == place and _name(die):
                return die
        except Exception:  # noqa: S112  (not the start of an entry, which shows in any way)
            continue
    return None


def _members(kind: DIE) -> Iterator[tuple[int, str]]:
    for count, member in enumerate(kind.iter_children()):
        if count == _MEMBERS:
            return
        offset = member.attributes.get("DW_AT_data_member_location")
        place = offset.value if member.tag == "DW_TAG_member" and offset is not None else None
        if isinstance(place, int) and 0 <= place < _REACH and place % 8 == 0:
            yield place, _name(member).lstrip("_")


def _name(die: DIE) -> str:
    value = die.attributes["DW_AT_name"].value if "DW_AT_name" in die.attributes else b""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else ""


def split_name(text: str) -> tuple[str, str]:
    """Split `T as Trait` at the `as` that is not within brackets; the trait is empty without one."""
    depth = 0
    for position, character in enumerate(text):
        if character in "<([{":
            depth += 1
        elif character in ")]}" or (character == ">" and text[position - 1] != "-"):
            depth -= 1
        elif depth == 0 and text.startswith(" as ", position):
            return text[:position], text[position + 4 :]
    return text, ""
