"""The symbols of one ELF file, by name and by link-time address.

165,000 symbols are nothing special (a Rust compiler library), so the table stays as it lies in the file, with
two arrays over it: the addresses, sorted, and the number of the entry at each.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import Iterable, Iterator, NamedTuple, Optional, Sequence

from .errors import BadFile
from .intervals import Intervals
from .units import ADDRESS_MASK, LinkAddress, Size

# Symbol types, gABI "Symbol Table", and the GNU extension for indirect functions.
KINDS = {0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 6: "TLS", 10: "IFUNC"}
SHN_ABS = 0xFFF1
_SHN_UNDEF, _SHN_COMMON, _SHN_XINDEX = 0, 0xFFF2, 0xFFFF
_HIDDEN_VERSION = 0x8000
# Names may share the tails of strings, so a few kilobytes of hostile string table can unfold to gigabytes.
_NAMES_LIMIT = 64 << 20

# A symbol is sorted by one number: address, then rank, then the number of its entry. What has a type, a size,
# is the default version and global names a place better than what has not, and so comes last at an address.
_INDEX_BITS, _RANK_BITS = 32, 5
_ADDRESS_SHIFT = _INDEX_BITS + _RANK_BITS
_UNPLACED = 1 << (_ADDRESS_SHIFT + 64)
_TYPED, _SIZED, _DEFAULT = 16, 8, 4
_BINDING_RANK = {0: 0, 1: 2, 2: 1, 10: 2}  # local, global, weak, unique


class ElfSymbol(NamedTuple):
    """A symbol at its link-time address; `kind` is one of NOTYPE, OBJECT, FUNC, IFUNC, TLS.

    The address of a TLS symbol is an offset in a thread's block.
    """

    name: str
    address: LinkAddress
    size: Size
    kind: str
    section_index: int


class Area(NamedTuple):
    """Link-time addresses that belong together: a section, or a segment (-1) where there are no sections."""

    start: int
    end: int
    section_index: int


class RawSymbols(NamedTuple):
    """A symbol table as it lies in the file: entries, strings, and the version of each entry (may be empty)."""

    entries: bytes
    strings: bytes
    versions: bytes
    bits: int
    byte_order: str


class SymbolTable:
    """The defined symbols of one ELF file."""

    def __init__(self, raw: RawSymbols, areas: Sequence[Area]) -> None:
        keys = sorted(_sort_keys(raw))
        # From here on are those without a place in the address space: thread-local and absolute ones.
        self._placed = bisect_left(keys, _UNPLACED)
        self._addresses = array("Q", [key >> _ADDRESS_SHIFT & ADDRESS_MASK for key in keys])
        self._indices = array("I", [key & 0xFFFFFFFF for key in keys])
        self._raw = raw
        self._areas = sorted(areas)

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[ElfSymbol]:
        """Yield all symbols by address, then those without one."""
        return map(self._symbol, range(len(self)))

    def by_name(self, name: str) -> Optional[ElfSymbol]:
        """Return the symbol of that exact name; global wins over weak over local, the default version over others."""
        position = self._positions.get(name.encode("utf-8", "surrogateescape"))
        return None if position is None else self._symbol(position)

    def by_prefix(self, prefix: str) -> tuple[ElfSymbol, ...]:
        """Return the symbols whose names start with `prefix`, by address."""
        start = prefix.encode("utf-8", "surrogateescape")
        found = sorted(position for name, position in self._positions.items() if name.startswith(start))
        return tuple(map(self._symbol, found))

    def names(self) -> Iterator[str]:
        """Yield every name once."""
        return (name.decode("utf-8", "backslashreplace") for name in self._positions)

    def at(self, link_address: int) -> Optional[ElfSymbol]:
        """Name the function or object that holds an address.

        The innermost sized one that covers it; a sized label only where there is no such; else the nearest
        symbol below in the same section, if nobody wrote down its size.
        """
        label = None
        for sized in self._sized.covering(link_address):
            symbol = self._symbol(self._sized_positions[sized])
            if symbol.kind != "NOTYPE":
                return symbol
            label = label or symbol
        below = label or self.nearest(link_address)
        return below if below and (label or not below.size) else None

    def nearest(self, link_address: int) -> Optional[ElfSymbol]:
        """Return the nearest symbol of any kind at or below an address, in the same section."""
        area = self.area(link_address)
        position = bisect_right(self._addresses, link_address, 0, self._placed)
        while area and position and self._addresses[position - 1] >= area.start:
            position -= 1
            symbol = self._symbol(position)
            # A label for the end of the section before this one has the same address as this one's start.
            if symbol.section_index in (area.section_index, _SHN_XINDEX) or area.section_index < 0:
                return symbol
        return None

    def next_after(self, link_address: int) -> Optional[LinkAddress]:
        """Return the next higher symbol address in the section that holds an address, or that section's end."""
        area = self.area(link_address)
        if area is None:
            return None
        position = bisect_right(self._addresses, link_address, 0, self._placed)
        following = self._addresses[position] if position < self._placed else area.end
        return LinkAddress(min(following, area.end))

    def area(self, link_address: int) -> Optional[Area]:
        """Return the section that holds an address."""
        found = self._area_intervals.innermost(link_address)
        return self._areas[found] if found >= 0 else None

    @cached_property
    def _area_intervals(self) -> Intervals:
        return Intervals([area.start for area in self._areas], [area.end for area in self._areas])

    @cached_property
    def _sizes(self) -> array[int]:
        sizes = [size for _, _, _, _, size in _entries(self._raw)]
        return array("Q", (sizes[index] for index in self._indices))

    @cached_property
    def _sized_positions(self) -> array[int]:
        return array("I", (position for position in range(self._placed) if self._sizes[position]))

    @cached_property
    def _sized(self) -> Intervals:
        starts = array("Q", (self._addresses[p] for p in self._sized_positions))
        ends = (min(self._addresses[p] + self._sizes[p], ADDRESS_MASK) for p in self._sized_positions)
        return Intervals(starts, array("Q", ends))

    @cached_property
    def _positions(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        total, limit = 0, _NAMES_LIMIT + 4 * len(self._raw.strings)
        offsets = [entry[0] for entry in _entries(self._raw)]
        for position, index in enumerate(self._indices):
            name = self._name(offsets[index])
            total += len(name)
            if total > limit:
                raise BadFile(f"malformed ELF file: its symbol names unfold to more than {limit:#x} bytes")
            other = found.setdefault(name, position)
            if other != position and self._name_rank(position) > self._name_rank(other):
                found[name] = position
        return found

    # Among symbols of one name the linker's view decides, other than among the names of one place.
    def _name_rank(self, position: int) -> tuple[int, bool]:
        info = self._entry(position)[1]
        return _BINDING_RANK.get(info >> 4, 2), self._indices[position] not in self._hidden

    @cached_property
    def _hidden(self) -> frozenset[int]:
        return _hidden(self._raw)

    # In .symtab the linker writes the default version behind the name: `pthread_create@@GLIBC_2.34`.
    def _name(self, offset: int) -> bytes:
        return self._raw.strings[offset : self._raw.strings.find(b"\0", offset)].partition(b"@@")[0]

    def _entry(self, position: int) -> tuple[int, ...]:
        layout = _layout(self._raw)
        return _reordered(self._raw, layout.unpack_from(self._raw.entries, self._indices[position] * layout.size))

    def _symbol(self, position: int) -> ElfSymbol:
        name, info, section, address, size = self._entry(position)
        text = self._name(name).decode("utf-8", "backslashreplace")
        return ElfSymbol(text, LinkAddress(address), Size(size), KINDS[info & 15], section)


_LAYOUTS = {
    # Elf32_Sym: name, value, size, info, other, section; Elf64_Sym: name, info, other, section, value, size
    (bits, order): struct.Struct(order + layout)
    for bits, layout in ((32, "IIIBxH"), (64, "IBxHQQ"))
    for order in "<>"
}


def _layout(raw: RawSymbols) -> struct.Struct:
    return _LAYOUTS[raw.bits, raw.byte_order]


# Both classes as name, info, section, address, size.
def _reordered(raw: RawSymbols, entry: tuple[int, ...]) -> tuple[int, ...]:
    return entry if raw.bits == 64 else (entry[0], entry[3], entry[4], entry[1], entry[2])


def _entries(raw: RawSymbols) -> Iterable[tuple[int, ...]]:
    layout = _layout(raw)
    unpacked = layout.iter_unpack(raw.entries[: len(raw.entries) // layout.size * layout.size])
    return unpacked if raw.bits == 64 else (_reordered(raw, entry) for entry in unpacked)


def _sort_keys(raw: RawSymbols) -> Iterator[int]:
    weights = [_weight(info) for info in range(256)]
    hidden = _hidden(raw)
    no_symbol = (_SHN_UNDEF, _SHN_COMMON)
    end = raw.strings.rfind(b"\0")
    return (
        (address << _ADDRESS_SHIFT | weights[info] | index)
        + (_SIZED << _INDEX_BITS if size else 0)
        - (_DEFAULT << _INDEX_BITS if index in hidden else 0)
        | (_UNPLACED if section == SHN_ABS else 0)
        for index, (name, info, section, address, size) in enumerate(_entries(raw))
        if weights[info] and section not in no_symbol and 0 < name < end
    )


# What a symbol's type and binding add to its sort key; 0 for types that name no place (section, file).
def _weight(info: int) -> int:
    kind = KINDS.get(info & 15)
    if kind is None:
        return 0
    rank = _DEFAULT | _BINDING_RANK.get(info >> 4, 2) | (0 if kind in ("NOTYPE", "TLS") else _TYPED)
    return rank << _INDEX_BITS | (_UNPLACED if kind == "TLS" else 0)


def _hidden(raw: RawSymbols) -> frozenset[int]:
    versions = struct.iter_unpack(raw.byte_order + "H", raw.versions[: len(raw.versions) & ~1])
    return frozenset(index for index, (version,) in enumerate(versions) if version & _HIDDEN_VERSION)
