"""The symbols of one ELF file, by name and by link-time address.

165,000 symbols are nothing special (a Rust compiler library), so the table stays as it lies in the file, with
two arrays over it: the addresses, sorted, and the number of the entry at each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import compress
from operator import add
from typing import Callable, Iterator, NamedTuple, Optional, Sequence

from .errors import BadFile
from .intervals import Intervals
from .symbol_columns import (
    BINDING_RANK,
    KINDS,
    SHN_ABS,
    RawSymbols,
    columns_of,
    entries_of,
    hidden_entries,
    sorted_entries,
)
from .units import ADDRESS_MASK, LinkAddress, Size, decoded

__all__ = ["KINDS", "SHN_ABS", "Area", "ElfSymbol", "RawSymbols", "SymbolTable", "entries_of"]

_SHN_XINDEX = 0xFFFF
_NOTYPE = 0
# Names may share the tails of strings, so a few kilobytes of hostile string table can unfold to gigabytes.
_NAMES_LIMIT = 4 << 20
# The longest names that compilers make have a few thousand bytes.
_TEXT_LIMIT = 1 << 14


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


class SymbolTable:
    """The defined symbols of one ELF file; `source` is the section they are from, or DYNAMIC."""

    def __init__(self, raw: RawSymbols, areas: Sequence[Area], source: str = "") -> None:
        self.source = source
        self._columns = columns_of(raw)
        self._strings = raw.strings
        self._hidden = hidden_entries(raw)
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

    def matching(self, accept: Callable[[bytes], bool]) -> Iterator[ElfSymbol]:
        """Yield the symbols whose names are accepted, by address, then those without one."""
        return (self._symbol(position) for position, name in enumerate(self._names()) if accept(name))

    def starting_at(self, link_address: int) -> tuple[ElfSymbol, ...]:
        """Return all symbols at an address; the one that names the place best comes last."""
        start = bisect_left(self._addresses, link_address, 0, self._placed)
        return tuple(map(self._symbol, range(start, bisect_right(self._addresses, link_address, start, self._placed))))

    def names(self) -> Iterator[str]:
        """Yield every name once."""
        return (name.decode("utf-8", "backslashreplace") for name in self._positions)

    def at(self, link_address: int) -> Optional[ElfSymbol]:
        """Name the function or object that holds an address.

        The innermost sized one that covers it; a sized label only where there is no such; else the nearest
        symbol below in the same section, if nobody wrote down its size.
        """
        position = self._holder(link_address)
        return self._symbol(position) if position >= 0 else None

    def name_at(self, link_address: int) -> Optional[tuple[str, int]]:
        """Return the name of the symbol that `at` finds, and the offset in it; in a few microseconds."""
        position = self._holder(link_address)
        return (self._text(position), link_address - self._addresses[position]) if position >= 0 else None

    def nearest(self, link_address: int) -> Optional[ElfSymbol]:
        """Return the nearest symbol of any kind at or below an address, in the same section."""
        position = self._nearest(link_address)
        return self._symbol(position) if position >= 0 else None

    def _holder(self, link_address: int) -> int:
        innermost = self._sized.innermost(link_address)
        if innermost >= 0:
            position = self._sized_positions[innermost]
            if self._columns.infos[self._indices[position]] & 15 != _NOTYPE:
                return position
        return self._label_or_outer(link_address)

    def _label_or_outer(self, link_address: int) -> int:
        label = -1
        for sized in self._sized.covering(link_address):
            position = self._sized_positions[sized]
            if self._columns.infos[self._indices[position]] & 15 != _NOTYPE:
                return position
            label = position if label < 0 else label
        if label >= 0:
            return label
        below = self._nearest(link_address)
        return below if below >= 0 and not self._columns.sizes[self._indices[below]] else -1

    def _nearest(self, link_address: int) -> int:
        area = self.area(link_address)
        position = bisect_right(self._addresses, link_address, 0, self._placed)
        while area and position and self._addresses[position - 1] >= area.start:
            position -= 1
            section = self._columns.sections[self._indices[position]]
            # A label for the end of the section before this one has the same address as this one's start.
            if section in (area.section_index, _SHN_XINDEX) or area.section_index < 0:
                return position
        return -1

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

    # Most files of a process are never asked for a symbol, so theirs are not sorted. Behind the placed ones are those
    # without a place in the address space: thread-local and absolute ones.
    @cached_property
    def _order(self) -> tuple[array[int], int]:
        order, placed = sorted_entries(self._columns, self._strings, self._hidden)
        return array("I", order), placed

    @cached_property
    def _indices(self) -> array[int]:
        return self._order[0]

    @cached_property
    def _placed(self) -> int:
        return self._order[1]

    @cached_property
    def _addresses(self) -> array[int]:
        return array("Q", map(self._columns.addresses.__getitem__, self._indices))

    @cached_property
    def _area_intervals(self) -> Intervals:
        return Intervals([area.start for area in self._areas], [area.end for area in self._areas])

    @cached_property
    def _sizes(self) -> array[int]:
        return array("Q", map(self._columns.sizes.__getitem__, self._indices[: self._placed]))

    @cached_property
    def _sized_positions(self) -> array[int]:
        return array("I", compress(range(self._placed), self._sizes))

    @cached_property
    def _sized(self) -> Intervals:
        starts = array("Q", compress(self._addresses, self._sizes))
        sizes = filter(None, self._sizes)
        try:
            return Intervals(starts, array("Q", map(add, starts, sizes)))
        except OverflowError:  # A size beyond the end of the address space; to try is ten times as fast as to look.
            ends = (min(end, ADDRESS_MASK) for end in map(add, starts, filter(None, self._sizes)))
            return Intervals(starts, array("Q", ends))

    @cached_property
    def _positions(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for position, name in enumerate(self._names()):
            other = found.setdefault(name, position)
            if other != position and self._name_rank(position) > self._name_rank(other):
                found[name] = position
        return found

    # All names by position, one at a time.
    def _names(self) -> Iterator[bytes]:
        strings, find = self._strings, self._strings.find
        is_versioned = b"@@" in strings
        left = _NAMES_LIMIT + 4 * len(strings)
        for start in map(self._columns.names.__getitem__, self._indices):
            name = strings[start : find(b"\0", start)]
            left -= len(name)
            if left < 0:
                raise BadFile(f"malformed ELF file: its symbol names unfold to more than {_NAMES_LIMIT:#x} bytes")
            yield name.partition(b"@@")[0] if is_versioned else name

    # Among symbols of one name the linker's view decides, other than among the names of one place.
    def _name_rank(self, position: int) -> tuple[int, bool]:
        index = self._indices[position]
        return BINDING_RANK.get(self._columns.infos[index] >> 4, 2), index not in self._hidden

    # In .symtab the linker writes the default version behind the name: `pthread_create@@GLIBC_2.34`.
    def _text(self, position: int) -> str:
        start = self._columns.names[self._indices[position]]
        end = self._strings.find(b"\0", start, start + _TEXT_LIMIT)
        name = self._strings[start : end if end >= 0 else start + _TEXT_LIMIT]
        return decoded(name.partition(b"@@")[0])

    def _symbol(self, position: int) -> ElfSymbol:
        index, columns = self._indices[position], self._columns
        address, size = LinkAddress(columns.addresses[index]), Size(columns.sizes[index])
        return ElfSymbol(self._text(position), address, size, KINDS[columns.infos[index] & 15], columns.sections[index])
