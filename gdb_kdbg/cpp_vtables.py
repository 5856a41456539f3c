"""C++ vtables of the Itanium ABI, which GCC and clang follow.

An object's first word leads into its class's group of tables: the functions stand from there on, the type_info one word
below, the distance to the object's start (offset-to-top) two below, and under that what virtual bases need. Where
there are no symbols the name in the type_info tells the class. Source: Itanium C++ ABI, 2.5 and 2.9.
"""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple, Sequence

from .demangle import demangle
from .units import shown
from .vtable_words import Cell, NotATable, Words, signed

_LONGEST = 1024
_PREFIX = 128
_NAME_LIMIT = 4096
# Objects of two gigabytes are no objects.
_OFFSET_LIMIT = 1 << 31
_TABLES = ("_ZTV", "_ZTC")
_TYPE_INFO_TABLES = "_ZTVN10__cxxabiv1"
_TYPE_INFO_CLASS = b"N10__cxxabiv1"
_TYPE_NAME = re.compile(rb"\*?[A-Za-z0-9_$.]+")
_GROUP_LIMIT = 1 << 16


class CppTable(NamedTuple):
    """One table of a group; `names` maps the index of a word, negative ones below the address point, to its name."""

    address: int
    type: str
    type_from: str
    offset_to_top: int
    names: dict[int, str]
    notes: tuple[str, ...] = ()


def cpp_table(words: Words, address: int, trusted: bool = False) -> CppTable:
    """Return the table whose functions begin at an address; raise NotATable where that is wrong or cannot be known."""
    address = _address_point(words, address)
    top, info = words.cell(address - 16), words.cell(address - 8)
    symbol = _symbol(words, address)
    type_name = _class_of(words, info) if info.target else ""
    if not type_name and not info.is_zero:
        raise NotATable("the word before it leads to no type_info")
    if not words.is_number(top) or not _is_offset(signed(top.word or 0)):
        raise NotATable("the second word before it is no offset-to-top")
    if not type_name and not symbol and not trusted:
        raise NotATable(
            "the word before it is 0, as without RTTI, and no symbol says that this is a vtable (--kind c++ trusts you)"
        )
    end = _end(words, address, info, symbol)
    count = _count(words, address, end, symbol)
    if not count and not symbol:
        raise NotATable("no function stands at it")
    if not type_name and not any(words.is_code(words.cell(address + 8 * index)) for index in range(count)):
        raise NotATable("its words are all 0: a table that is to be copied from a library (COPY), and is not yet")
    source = "RTTI" if type_name else "symbol" if symbol else ""
    names = {**_below(words, address, symbol), **{index: f"function{index}" for index in range(count)}}
    return CppTable(address, type_name or _class_in(symbol), source, signed(top.word or 0), names)


def group_of(words: Words, table: CppTable) -> Sequence[CppTable]:
    """Return the other tables of a class's group, those of its bases in it; only where a symbol gives the extent."""
    over = words.symbol_over(table.address)
    if over is None or not over[0].name.startswith(_TABLES) or over[0].size > _GROUP_LIMIT:
        return ()
    start, size = table.address - over[1], over[0].size
    points = _address_points(words, start, start + size, words.cell(table.address - 8))
    return [other for point in points if point != table.address for other in _tables_at(words, point)]


def _tables_at(words: Words, address: int) -> Iterator[CppTable]:
    try:
        yield cpp_table(words, address)
    except NotATable:
        return


# The name of a group stands for its start, which is before the first table's address point.
def _address_point(words: Words, address: int) -> int:
    if address % 8:
        raise NotATable(f"{address:#x} is not a multiple of 8")
    over = words.symbol_over(address)
    if over is None or not over[0].name.startswith(_TABLES) or over[1]:
        return address
    for point in range(address + 16, address + min(over[0].size, _GROUP_LIMIT) + 8, 8):
        info = words.cell(point - 8)
        if info.target and words.names(info)[:1] and words.names(info)[0].startswith("_ZTI") or _class_of(words, info):
            return point
        if words.is_code(words.cell(point)):
            return point
    return address + 16


def _symbol(words: Words, address: int) -> str:
    over = words.symbol_over(address)
    if over is None:
        return ""
    if not over[0].name.startswith(_TABLES):
        if over[0].kind == "NOTYPE":
            return ""
        raise NotATable(f"it is part of {shown(demangle(over[0].name))}")
    if over[1] < 16:
        raise NotATable(f"it is {over[1]} bytes into {shown(demangle(over[0].name))}, before its functions")
    return over[0].name


def _class_in(symbol: str) -> str:
    for before in ("vtable for ", "construction vtable for "):
        text = demangle(symbol)
        if symbol and text.startswith(before):
            return text[len(before) :].partition("@")[0]
    return ""


# A type_info: a table of its own, whose class is one of the ABI's, then the name of the class.
def _class_of(words: Words, info: Cell) -> str:
    if info.target is None:
        name = info.slot.symbol.name if info.slot else ""
        return demangle(name)[len("typeinfo for ") :] if name.startswith("_ZTI") else ""
    if info.slot is None and words.is_code(info) or info.target % 8:
        return ""
    named = [name for name in words.names(info) if name.startswith("_ZTI")]
    if not named and not _is_type_info(words, info.target):
        return ""
    text = words.text(words.cell(info.target + 8).target or 0, _NAME_LIMIT)
    if _TYPE_NAME.fullmatch(text):
        mangled = "_ZTS" + text.decode("ascii").lstrip("*")
        demangled = demangle(mangled)
        if demangled != mangled:
            return demangled[len("typeinfo name for ") :]
    return demangle(named[0])[len("typeinfo for ") :] if named else ""


def _is_type_info(words: Words, address: int) -> bool:
    table = words.cell(address)
    if table.slot is not None and table.slot.symbol.name.startswith(_TYPE_INFO_TABLES):
        return True
    if table.target is None:
        return False
    over = words.symbol_over(table.target)
    if over is not None:
        return over[0].name.startswith(_TYPE_INFO_TABLES)
    # Without symbols the class of the type_info itself is asked for its name.
    own = words.cell(table.target - 8)
    name = words.cell(own.target + 8).target if own.target else None
    return bool(name) and words.text(name or 0, 64).startswith(_TYPE_INFO_CLASS)


def _is_offset(value: int) -> bool:
    return abs(value) < _OFFSET_LIMIT and value % 8 == 0


# The next table of a group has the same type_info; without an extent any type_info ends the functions.
def _end(words: Words, address: int, info: Cell, symbol: str) -> int:
    over = words.symbol_over(address) if symbol else None
    end = address - over[1] + over[0].size if over else address + 8 * _LONGEST
    end = min(end, address + 8 * _LONGEST)
    for place in range(address + 8, end, 8):
        cell = words.cell(place)
        if cell.word is None:
            return place
        if _same(cell, info) or (not symbol and cell.target and not words.is_code(cell) and _class_of(words, cell)):
            return place - 8
    return end


def _same(cell: Cell, info: Cell) -> bool:
    if cell.slot is None or info.slot is None:
        return cell.slot is info.slot and cell.target == info.target and bool(info.target)
    return (cell.target, cell.slot.symbol.name) == (info.target, info.slot.symbol.name)


# GCC writes 0 for the destructors of classes under construction and of abstract ones. Such zeros behind the last
# function look like offsets of the next table; only where the whole group ends they are surely entries.
def _count(words: Words, address: int, end: int, symbol: str) -> int:
    count, limit = 0, (end - address) // 8
    for index in range(limit):
        cell = words.cell(address + 8 * index)
        if words.is_code(cell):
            count = index + 1
        elif not cell.is_zero:
            return count
    over = words.symbol_over(address) if symbol else None
    return limit if over and end == address - over[1] + over[0].size else count


def _below(words: Words, address: int, symbol: str) -> dict[int, str]:
    over = words.symbol_over(address) if symbol else None
    lowest = max(address - over[1] if over else address - 16, address - 8 * _PREFIX)
    found: list[int] = []
    for index in range(-3, (lowest - address) // 8 - 1, -1):
        cell = words.cell(address + 8 * index)
        if not words.is_number(cell) or not _is_offset(signed(cell.word or 0)):
            break
        found.append(index)
    # Zeros may belong to the table before; the group's first table has none before it.
    if over and not (found and address + 8 * found[-1] == address - over[1]):
        while found and words.cell(address + 8 * found[-1]).is_zero:
            found.pop()
    return {**dict.fromkeys(reversed(found), "virtual-offset"), -2: "offset-to-top", -1: "rtti"}


def _address_points(words: Words, start: int, end: int, info: Cell) -> Iterator[int]:
    for place in range(start + 8, end, 8):
        cell = words.cell(place)
        if _same(cell, info) or (info.is_zero and cell.is_zero and _begins_without_rtti(words, place, start)):
            yield place + 8


# Bases behind the first one lie above the object's start; the class's own table is the first.
def _begins_without_rtti(words: Words, place: int, start: int) -> bool:
    top = words.cell(place - 8)
    if not words.is_number(top) or not words.is_code(words.cell(place + 8)):
        return False
    is_first = top.is_zero and not any(words.is_code(words.cell(a)) for a in range(start, place, 8))
    return is_first or (signed(top.word or 0) < 0 and _is_offset(signed(top.word or 0)))
