"""Rust's vtables: described by DWARF, or recognised by their header.

A table is `drop_in_place` (0 where nothing needs to be dropped), size, alignment, then the methods; a further
supertrait has a table of its own, to which a word leads. Nothing names a table in the symbol table, and its layout is
nobody's promise: this is what rustc has done since 1.60 (`rustc_middle::ty::vtable`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, Optional, Sequence

from .demangle import demangle
from .elf import ElfFile
from .elf_tables import PF_W
from .errors import KdbgError
from .units import ADDRESS_MASK, shown
from .vtable_types import DwarfTable, next_table, split_name, table_around, tables_at
from .vtable_words import Cell, NotATable, Words

HEADER = ("drop_in_place", "size", "align")
NOTHING_TO_DROP = "nothing to drop: 0 is right"
_LONGEST = 512
_SIZE_LIMIT = 1 << 47
_ALIGNMENT_LIMIT = 1 << 29
_DROP = re.compile(r"core::ptr::drop_(?:in_place|glue)(?:::)?<(.*)>(?: \[clone .*\])?", re.DOTALL)
_DROPS = ("core::ptr::drop_in_place", "core::ptr::drop_glue")
_MANGLED = re.compile(r"_R[A-Z]|_ZN.*17h[0-9a-f]{16}E", re.DOTALL)
# Private to their unit, and only in the symbol table where link-time optimization made them public to it.
_TABLE_SYMBOL = re.compile(r"(\.L)?(vtable|anon|__unnamed|alloc_)[._0-9].*", re.DOTALL)
# Legacy names have `T` where the type itself should be; types have a path or are lower case.
_PARAMETER = re.compile(r"(?<![:\w])[A-Z]\w*(?!\w|::)")
_AGREED, _METHODS = "symbols of drop_in_place and methods", "symbols of methods"
_COUNTED = "counted without debugging information: the table may be shorter than its entries here"
_SEARCHED = 64 << 20


class RustTable(NamedTuple):
    """A table: what it is of and who says so (`type_from`), and the name of each word by its index."""

    address: int
    type: str
    trait: str
    type_from: str
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def rust_table(words: Words, address: int, trusted: bool = False) -> RustTable:
    """Return the table at an address; raise NotATable where that is wrong or cannot be known.

    `trusted` means that somebody knows that it is one: then the evidence may be weak, but not against it.
    """
    described = _described(words, address)
    if described:
        return _from_dwarf(words, described, address)
    _require_room(words, address)
    cells = [words.cell(address + 8 * index) for index in range(3)]
    _require_header(words, cells)
    count = _count(words, cells)
    entries = [words.cell(address + 8 * index) for index in range(3, count)]
    _require_evidence(words, cells, entries, trusted)
    names = [_entry_name(words, cell, index) for index, cell in enumerate(entries, 3)]
    type_name, trait, source, note = _type_of(words, cells[0], entries)
    notes = tuple(filter(None, (note, _COUNTED if entries else "")))
    return RustTable(address, type_name, trait, source, (*HEADER, *names), notes)


def _described(words: Words, address: int) -> Sequence[DwarfTable]:
    holder = words.holder(address)
    if holder is None:
        return ()
    link = (address - holder[0].load_bias) & ADDRESS_MASK
    found = tables_at(holder[1], link)
    around = None if found else table_around(holder[1], link)
    if around is not None:
        start, where = around.address + holder[0].load_bias, link - around.address
        raise NotATable(f"it is {where:#x} bytes into the table of {around.type} as {around.trait} at {start:#x}")
    return found


def _from_dwarf(words: Words, found: Sequence[DwarfTable], address: int) -> RustTable:
    table = max(found, key=lambda one: one.size)
    members = dict(table.members)
    names = tuple(members.get(8 * index, "vacant") for index in range(max(table.size // 8, 3)))
    # A table that the linker threw away keeps its description, at address 0.
    _require_header(words, [words.cell(address + 8 * index) for index in range(3)])
    others = sorted({f"{one.type} as {one.trait}" for one in found} - {f"{table.type} as {table.trait}"})
    note = f"shared with equal tables: {', '.join(others[:5])}{' ...' if others[5:] else ''}"
    return RustTable(address, table.type, table.trait, "DWARF", names, (note,) if others else ())


def _require_room(words: Words, address: int) -> None:
    if address % 8:
        raise NotATable(f"{address:#x} is not a multiple of 8")
    over = words.symbol_over(address)
    if over is None or (over[0].kind == "NOTYPE" or _TABLE_SYMBOL.fullmatch(over[0].name)) and not over[1]:
        return
    raise NotATable(f"it is part of {shown(demangle(over[0].name))}")


def _require_header(words: Words, cells: Sequence[Cell]) -> None:
    drop, size, alignment = cells
    if any(cell.word is None for cell in cells):
        raise NotATable("it cannot be read")
    if not drop.is_zero and not words.is_code(drop):
        raise NotATable("the first word, drop_in_place, is neither 0 nor an address of code")
    if not words.is_number(size) or not words.is_number(alignment):
        raise NotATable("the second and third word are not the two numbers size and alignment")
    if not _is_layout(size.word or 0, alignment.word or 0):
        raise NotATable(f"{size.word:#x} and {alignment.word:#x} are no size and alignment of a type")


def _is_layout(size: int, alignment: int) -> bool:
    is_power = 0 < alignment <= _ALIGNMENT_LIMIT and not alignment & (alignment - 1)
    return is_power and size < _SIZE_LIMIT and size % alignment == 0


# Entries are taken while they lead to code or to another table of the same type, up to the next table's header.
def _count(words: Words, header: Sequence[Cell]) -> int:
    address = header[0].address
    end = _end(words, address)
    for index in range(3, _LONGEST):
        cell = words.cell(address + 8 * index)
        if cell.address >= end or _begins_table(words, cell) or not _is_entry(words, header, cell):
            return index
    return _LONGEST


def _is_entry(words: Words, header: Sequence[Cell], cell: Cell) -> bool:
    return words.is_code(cell) or is_supertrait(words, header, cell)


def is_supertrait(words: Words, header: Sequence[Cell], cell: Cell) -> bool:
    """Tell whether a word leads to a table that begins like this one: of the same type, so of a supertrait."""
    if cell.slot is None and header[0].slot is not None or not cell.target or cell.target % 8 or words.is_code(cell):
        return False
    other = [words.cell(cell.target + 8 * index) for index in range(3)]
    same = [(a.target if a.slot else a.word) == (b.target if b.slot else b.word) for a, b in zip(header, other)]
    return all(same) and (other[0].is_zero or words.is_code(other[0]))


def _end(words: Words, address: int) -> int:
    holder = words.holder(address)
    if holder is None:
        return address + 8 * _LONGEST
    bias = holder[0].load_bias
    following = next_table(holder[1], (address - bias) & ADDRESS_MASK)
    segment = next(s for s in holder[1].loaded if s.address <= address - bias < s.end)
    return min(segment.end if following is None else following, segment.end) + bias


def _begins_table(words: Words, cell: Cell) -> bool:
    names = words.names(cell) if words.is_code(cell) else ()
    return any(map(_is_drop, names)) if names else _has_header(words, cell)


# A method before a table with nothing to drop makes a header as well: of size 0, with that table's size as alignment.
def _has_header(words: Words, cell: Cell) -> bool:
    return _is_header(words, cell) and not (words.is_code(cell) and _is_header(words, words.cell(cell.address + 8)))


def _is_header(words: Words, cell: Cell) -> bool:
    size, alignment = words.cell(cell.address + 8), words.cell(cell.address + 16)
    if not (cell.is_zero or words.is_code(cell)) or not words.is_number(size) or not words.is_number(alignment):
        return False
    return _is_layout(size.word or 0, alignment.word or 0)


def _is_drop(name: str) -> bool:
    return "drop_" in name and demangle(name).startswith(_DROPS)


# Any three words may look like a header by chance; what makes a table sure are names, or methods where there are none.
def _require_evidence(words: Words, header: Sequence[Cell], entries: Sequence[Cell], trusted: bool) -> None:
    drop = header[0]
    functions = [cell for cell in (drop, *entries) if words.is_code(cell)]
    if any(words.starts_function(cell) is False for cell in functions):
        raise NotATable("an entry leads into the middle of a function")
    names = {cell.address: words.names(cell) for cell in functions}
    if names.get(drop.address) and not any(map(_is_drop, names[drop.address])):
        raise NotATable(f"the first word leads to {shown(demangle(names[drop.address][0]))}, which drops nothing")
    if names.get(drop.address) or trusted:
        return
    if any(names.values()):
        if any(_MANGLED.match(name) for found in names.values() for name in found):
            return
        raise NotATable("none of its functions has a name that Rust gives")
    _require_bare_evidence(words, header, functions)


def _require_bare_evidence(words: Words, header: Sequence[Cell], functions: Sequence[Cell]) -> None:
    if not functions or functions == [header[0]]:
        raise NotATable("without symbols and methods nothing tells a table from other numbers (--kind rust trusts you)")
    holder = words.holder(header[0].address)
    if holder is None or not is_rust(holder[1]):
        raise NotATable("nothing says that its file was written in Rust (--kind rust trusts you)")
    if not is_constant(holder[1], header[0].address - holder[0].load_bias):
        raise NotATable("it is in writable data, where no table is (--kind rust trusts you)")
    if not _has_header(words, header[0]):
        raise NotATable(f"a table begins at {header[0].address + 8:#x} instead")


def is_constant(elf: ElfFile, link_address: int) -> bool:
    """Tell whether only the loader writes at an address: in RELRO, a section for that, or no writable segment."""
    segments = [s for s in elf.segments if s.type in ("LOAD", "GNU_RELRO") and s.address <= link_address < s.end]
    if any(s.type == "GNU_RELRO" or not s.flags & PF_W for s in segments):
        return True
    try:
        area = next((s for s in elf.sections if s.placed and s.address <= link_address < s.end), None)
    except KdbgError:
        return False
    return area is not None and area.name.startswith((".data.rel.ro", ".rodata"))


@lru_cache(maxsize=64)
def is_rust(elf: ElfFile) -> bool:
    """Tell whether rustc left its mark in a file: its version in `.comment`, or paths of its library's sources."""
    try:
        if b"rustc version" in (elf.section_bytes(".comment") or b""):
            return True
    except KdbgError:
        pass  # cut off with the section headers
    constant = [s for s in elf.loaded if not s.flags & PF_W]
    try:
        return any(b"/rustc/" in elf.read_file(s.offset, min(s.file_size, _SEARCHED)) for s in constant)
    except KdbgError:
        return False


def _entry_name(words: Words, cell: Cell, index: int) -> str:
    return f"method{index}" if words.is_code(cell) else f"super_trait_ptr{index}"


# Equal functions are merged, drop functions of alike types in every release build, so one name alone tells no type.
def _type_of(words: Words, drop: Cell, entries: Sequence[Cell]) -> tuple[str, str, str, str]:
    paths = [split_name(path) for path in map(_implementation, map(words.names, entries)) if path]
    types, traits = {one for one, _ in paths}, {trait for _, trait in paths}
    trait = next(iter(traits)) if len(traits) == 1 else ""
    drops = {found[1] for name in words.names(drop) for found in [_DROP.fullmatch(demangle(name))] if found}
    agreed = drops & types if drops else types
    if len(agreed) == 1:
        return next(iter(agreed)), trait, _AGREED if drops else _METHODS, ""
    note = f"of type {', '.join(sorted(drops)[:3])}, or of one that is dropped by the same code" if drops else ""
    return "", trait, "", note


# `<T as Trait>::method` of the symbol, if it says that much: `T as Trait`.
def _implementation(names: Sequence[str]) -> Optional[str]:
    for name in names:
        path = demangle(name) if _MANGLED.match(name) else ""
        found = re.match(r"<(.*)>::\w", path, re.DOTALL)
        if found and split_name(found[1])[1] and not _PARAMETER.search(found[1]):
            return found[1]
    return None
