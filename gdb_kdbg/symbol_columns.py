"""A symbol table of an ELF file, as it lies there, taken apart into columns.

A step over an array is one operation in C; a loop over 165,000 entries that unpacks each is a tenth of a second.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Callable, Iterable, NamedTuple, Sequence

# Symbol types, gABI "Symbol Table", and the GNU extension for indirect functions.
KINDS = {0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 6: "TLS", 10: "IFUNC"}
SHN_ABS = 0xFFF1
_SHN_UNDEF, _SHN_COMMON = 0, 0xFFF2
_HIDDEN_VERSION = 0x8000

# What is at one address is sorted by rank: what has a type, a size, is the default version and global names a place
# better than what has not, and so comes last. What has no place in the address space comes after all that has.
_RANK_BITS = 5
_UNPLACED = 1 << (_RANK_BITS + 64)
_TYPED, _SIZED, _DEFAULT = 16, 8, 4
BINDING_RANK = {0: 0, 1: 2, 2: 1, 10: 2}  # local, global, weak, unique


class RawSymbols(NamedTuple):
    """A symbol table as it lies in the file: entries, strings, and the version of each entry (may be empty)."""

    entries: bytes
    strings: bytes
    versions: bytes
    bits: int
    byte_order: str


class Columns(NamedTuple):
    """The entries' fields: offset of the name, binding and type, section index, address, size."""

    names: array[int]
    infos: bytes
    sections: array[int]
    addresses: array[int]
    sizes: array[int]


# Where each field lies, as array type, index of the first and step: Elf32_Sym is name, value, size, info, other,
# section; Elf64_Sym is name, info, other, section, value, size.
_FIELDS = {
    32: (("I", 0, 4), (12, 16), ("H", 7, 8), ("I", 1, 4), ("I", 2, 4)),
    64: (("I", 0, 6), (4, 24), ("H", 3, 12), ("Q", 1, 3), ("Q", 2, 3)),
}


def columns_of(raw: RawSymbols) -> Columns:
    """Take a table apart; a cut last entry is dropped."""
    name, (info, size), section, address, length = _FIELDS[raw.bits]
    entries = raw.entries[: len(raw.entries) // size * size]
    names, sections, addresses, sizes = (
        _column(entries, raw.byte_order, *field) for field in (name, section, address, length)
    )
    return Columns(names, entries[info::size], sections, addresses, sizes)


def _column(entries: bytes, byte_order: str, code: str, first: int, step: int) -> array[int]:
    column = array(code, entries)[first::step]
    if byte_order != ("<" if sys.byteorder == "little" else ">"):
        column.byteswap()
    return column


_LAYOUTS = {
    (bits, order): struct.Struct(order + layout) for bits, layout in ((32, "IIIBxH"), (64, "IBxHQQ")) for order in "<>"
}


def entries_of(raw: RawSymbols) -> Iterable[tuple[int, ...]]:
    """Yield every whole entry, of both classes, as name offset, info, section index, value, size."""
    layout = _LAYOUTS[raw.bits, raw.byte_order]
    unpacked = layout.iter_unpack(raw.entries[: len(raw.entries) // layout.size * layout.size])
    return unpacked if raw.bits == 64 else ((row[0], row[3], row[4], row[1], row[2]) for row in unpacked)


def entry_reader(raw: RawSymbols) -> Callable[[int], tuple[int, ...]]:
    """Return what reads an entry that the table has, by its number, as `entries_of` yields it."""
    layout = _LAYOUTS[raw.bits, raw.byte_order]
    unpack, entries, size = layout.unpack_from, raw.entries, layout.size

    def read(index: int) -> tuple[int, ...]:
        return unpack(entries, index * size)

    def read_short(index: int) -> tuple[int, ...]:
        row = unpack(entries, index * size)
        return row[0], row[3], row[4], row[1], row[2]

    return read if raw.bits == 64 else read_short


def entry_count(raw: RawSymbols) -> int:
    """Return the number of whole entries."""
    return len(raw.entries) // _LAYOUTS[raw.bits, raw.byte_order].size


def hidden_entries(raw: RawSymbols) -> frozenset[int]:
    """Return the numbers of the entries that are not the default version of their name."""
    versions = struct.iter_unpack(raw.byte_order + "H", raw.versions[: len(raw.versions) & ~1])
    return frozenset(index for index, (version,) in enumerate(versions) if version & _HIDDEN_VERSION)


def sorted_entries(columns: Columns, strings: bytes, hidden: Iterable[int]) -> tuple[list[int], int]:
    """Return the numbers of the entries that define something, by address and rank, and how many have a place."""
    weights = _WEIGHTS
    keys = [
        (address << _RANK_BITS | weights[info]) + (_SIZED if size else 0) | (_UNPLACED if section == SHN_ABS else 0)
        for address, info, size, section in zip(columns.addresses, columns.infos, columns.sizes, columns.sections)
    ]
    for index in hidden:
        if index < len(keys):
            keys[index] -= _DEFAULT
    order = sorted(_named(columns, strings.rfind(b"\0")), key=keys.__getitem__)
    placed = len(order)
    while placed and keys[order[placed - 1]] >= _UNPLACED:
        placed -= 1
    return order, placed


# Entries that have a name and stand for a place: not undefined, and no section's or file's.
def _named(columns: Columns, end: int) -> Sequence[int]:
    weights = _WEIGHTS
    return [
        index
        for index, (info, section, name) in enumerate(zip(columns.infos, columns.sections, columns.names))
        if weights[info] and section and section != _SHN_COMMON and 0 < name < end
    ]


# What a symbol's type and binding add to its sort key; 0 for types that name no place (section, file).
def _weight(info: int) -> int:
    kind = KINDS.get(info & 15)
    if kind is None:
        return 0
    rank = _DEFAULT | BINDING_RANK.get(info >> 4, 2) | (0 if kind in ("NOTYPE", "TLS") else _TYPED)
    return rank | (_UNPLACED if kind == "TLS" else 0)


_WEIGHTS = tuple(map(_weight, range(256)))
