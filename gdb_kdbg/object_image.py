"""Relocatable files as memory: the sections of an object file laid out and relocated, as a linker would.

Sections that are loaded lie one behind another, code first, then constants, then data, each kind from a page of its
own. Undefined symbols get addresses of their own in `undefined`, where nothing is mapped, so that a call of one is seen
and can be named. Every symbol has a slot in a global offset table, its number in the symbol table being its slot's.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from functools import cached_property
from typing import Iterator, NamedTuple, Optional, Sequence

from .elf import ElfFile, guarded
from .elf_tables import SHF_ALLOC, SHF_EXECINSTR, Section, text_at, unpack_all
from .errors import BadFile, MemoryFault
from .object_relocations import Places, apply_relocation
from .ranges import Range
from .symbol_table import SHN_ABS, Area, ElfSymbol, RawSymbols, SymbolTable, entries_of
from .target import Location, Symbol
from .units import ADDRESS_MASK, Address, LinkAddress, Size, safe_text

_PAGE = 0x1000
_PROBLEMS = 20
_UNDEFINED_STEP = 16
# Distances between any two addresses must fit into 31 bits, those of undefined symbols included.
_IMAGE_LIMIT = 1 << 28
_SHF_WRITE = 0x1
_SHN_UNDEF, _SHN_COMMON, _SHN_XINDEX = 0, 0xFFF2, 0xFFFF
_SECTION_SYMBOL, _THREAD_LOCAL, _WEAK = 3, 6, 2
# Between functions stand bytes that stop a program that runs into them.
_BREAKPOINT = b"\xcc"


class _Raw(NamedTuple):
    """An entry of the symbol table, with the true number of its section."""

    name: int
    info: int
    section: int
    value: int
    size: int


class ObjectImage:
    """An object file as a Memory, from `base` on; all of it is mapped up to `range.end`.

    What could not be relocated (thread-local addresses, unknown types) keeps its bytes and is said in `problems`.
    """

    def __init__(self, elf: ElfFile, base: int = 0x400000) -> None:
        """Lay out the sections and give the symbols addresses; raise BadFile."""
        if (elf.type, elf.machine) != ("REL", "x86-64"):
            name = safe_text(elf.path, 200)
            raise BadFile(f"{name} is no object file of x86-64: its type is {elf.type}, its machine {elf.machine}")
        self.path = elf.path
        self._elf = elf
        self._contents: dict[int, bytes] = {}
        self._problems: dict[str, None] = {}
        with guarded(elf.path):
            self._read_symbols()
            self._lay_out(base)
            self._place_symbols()

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be relocated in the sections that were read so far."""
        return tuple(self._problems)

    def read_memory(self, address: Address, size: Size) -> bytes:
        """Return relocated bytes; raise MemoryFault outside the image, BadFile for broken relocations."""
        if size < 0 or address < self.range.start or address + size > self.range.end:
            raise MemoryFault(address, size, f"not in the image of {safe_text(self.path, 200)}")
        data = bytearray(size)
        if self.code.overlaps(Range(address, size)):
            data[: max(0, min(size, self.code.end - address))] = _BREAKPOINT * min(size, self.code.end - address)
        for index, start, length in self._pieces_in(address, address + size):
            first, last = max(start, address), min(start + length, address + size)
            piece = self._content(index)[first - start : last - start]
            data[first - address : last - address] = piece.ljust(last - first, b"\0")
        return bytes(data)

    def is_code(self, address: int) -> bool:
        """Tell whether an address lies in the pages of executable sections."""
        return self.code.contains(address)

    def symbol(self, name: str) -> Optional[Symbol]:
        """Return the defined symbol of that exact name."""
        found = self.symbol_table.by_name(name)
        return None if found is None or found.kind == "TLS" else self._runtime(found)

    @property
    def symbols(self) -> Iterator[Symbol]:
        """All defined symbols with an address, by address."""
        return (self._runtime(symbol) for symbol in self.symbol_table if symbol.kind != "TLS")

    def label(self, address: Address) -> Optional[Symbol]:
        """Return the nearest symbol of any kind at or below an address, in the same section."""
        found = self.symbol_table.nearest(address)
        return None if found is None else self._runtime(found)

    def location(self, address: Address) -> Optional[Location]:
        """Name the function that holds an address; an undefined symbol's address has its name."""
        found = self.symbol_table.name_at(address)
        if found is not None:
            return Location(found[0], Size(found[1]))
        name = self.name_of(address)
        return None if name is None else Location(name, Size(0))

    def name_of(self, address: int) -> Optional[str]:
        """Return the undefined symbol that an address stands for."""
        number, offset = divmod(address - self.undefined.start, _UNDEFINED_STEP)
        if offset or not 0 <= number < len(self._entries) or self._entries[number].section != _SHN_UNDEF:
            return None
        return text_at(self._strings, self._entries[number].name) or None

    def section_address(self, name: str) -> Optional[Range]:
        """Return where the first loaded section of that name lies."""
        loaded = (piece for piece in self._pieces if piece[0] < len(self._sections))
        found = (Range(Address(s), Size(size)) for i, s, size in loaded if self._sections[i].name == name)
        return next(found, None)

    @cached_property
    def symbol_table(self) -> SymbolTable:
        """The symbols at their addresses in the image."""
        packed = b"".join(
            struct.pack("<IBxHQQ", e.name, e.info, self._shown_section(e), address, e.size)
            for e, address in zip(self._entries, self._places.symbols)
        )
        areas = [Area(start, start + size, min(index, _SHN_XINDEX)) for index, start, size in self._pieces if size]
        with guarded(self.path):
            return SymbolTable(RawSymbols(packed, self._strings, b"", 64, "<"), areas, ".symtab")

    def _read_symbols(self) -> None:
        self._sections: Sequence[Section] = self._elf.sections
        table = next((s for s in self._sections if s.type == "SYMTAB"), None)
        self._strings = b""
        self._entries: list[_Raw] = []
        if table is None:
            return
        if table.link >= len(self._sections):
            raise BadFile(f"{table.name} has its names in section {table.link:#x} of {len(self._sections):#x}")
        self._strings = self._bytes_of(self._sections[table.link])
        raw = RawSymbols(self._bytes_of(table), self._strings, b"", self._elf.bits, self._elf.byte_order)
        self._entries = [_Raw(*entry) for entry in entries_of(raw)]
        extended = next((s for s in self._sections if s.type == "SYMTAB_SHNDX" and s.link == table.number), None)
        if extended is not None:
            numbers = unpack_all("<I", self._bytes_of(extended))
            pairs = zip(self._entries, numbers)
            self._entries = [e._replace(section=n) if e.section == _SHN_XINDEX else e for e, (n,) in pairs]

    # The pieces, by address: (section's number, start, size). Behind the sections come the common symbols, whose number
    # is the first that no section has, and the global offset table with the next.
    def _lay_out(self, base: int) -> None:
        loaded = [s for s in self._sections if s.flags & SHF_ALLOC]
        if sum(s.size for s in loaded if s.type != "NOBITS") > self._elf.size:
            raise BadFile("its sections have more bytes than the file")
        pieces: list[tuple[int, int, int]] = []
        position, kind = base, 0
        self.code = Range(Address(base), Size(0))
        for section in sorted(loaded, key=_kind):
            alignment = self._alignment(section)
            position = _aligned(position, max(_PAGE, alignment) if _kind(section) != kind else alignment)
            kind = _kind(section)
            pieces.append((section.number, position, section.size))
            position = self._checked(position + section.size, base)
            if kind == 0:
                self.code = Range(Address(base), Size(_aligned(position, _PAGE) - base))
        common, table = len(self._sections), len(self._sections) + 1
        pieces.append((common, _aligned(position, _PAGE), self._place_common(_aligned(position, _PAGE), base)))
        pieces.append((table, _aligned(pieces[-1][1] + pieces[-1][2], _PAGE), 8 * len(self._entries)))
        end = self._checked(_aligned(pieces[-1][1] + pieces[-1][2], _PAGE), base)
        self._pieces = pieces
        self._piece_starts = [start for _, start, _ in pieces]
        self._starts = {index: start for index, start, _ in pieces}
        self.range = Range(Address(base), Size(end - base))
        self.undefined = Range(Address(base + 2 * _IMAGE_LIMIT), Size(_UNDEFINED_STEP * len(self._entries)))

    # A common symbol's value is its alignment (gABI "Symbol Values").
    def _place_common(self, start: int, base: int) -> int:
        self._common: dict[int, int] = {}
        position = start
        for number, entry in enumerate(self._entries):
            if entry.section == _SHN_COMMON:
                self._common[number] = _aligned(position, min(entry.value, _PAGE) or 1)
                position = self._checked(self._common[number] + entry.size, base)
        return position - start

    def _place_symbols(self) -> None:
        addresses = [self._address_of(number, entry) for number, entry in enumerate(self._entries)]
        sizes = [entry.size for entry in self._entries]
        offsets = [number for number, e in enumerate(self._entries) if e.info & 15 == _THREAD_LOCAL]
        self._places = Places(addresses, sizes, frozenset(offsets), self._pieces[-1][1])

    def _address_of(self, number: int, entry: _Raw) -> int:
        if entry.section == _SHN_COMMON:
            return self._common[number]
        if entry.section == SHN_ABS or entry.info & 15 == _THREAD_LOCAL:
            return entry.value
        if entry.section in self._starts:
            return self._starts[entry.section] + entry.value & ADDRESS_MASK
        if entry.section != _SHN_UNDEF or entry.info >> 4 == _WEAK or not entry.name:
            return 0  # What a linker gives a weak symbol that nobody defines; sections that are not loaded have none.
        if text_at(self._strings, entry.name, 32) == "_GLOBAL_OFFSET_TABLE_":
            return self._pieces[-1][1]
        return self.undefined.start + _UNDEFINED_STEP * number

    def _content(self, index: int) -> bytes:
        if index not in self._contents:
            with guarded(self.path):
                self._contents[index] = self._relocated(index)
        return self._contents[index]

    def _relocated(self, index: int) -> bytes:
        if index > len(self._sections):
            return struct.pack(f"<{len(self._entries)}Q", *self._places.symbols)
        if index == len(self._sections) or self._sections[index].type == "NOBITS":
            return b""
        data = bytearray(self._bytes_of(self._sections[index]))
        for table in self._tables.get(index, ()):
            for offset, info, addend in unpack_all("<QQq", self._bytes_of(table)):
                problem = apply_relocation(
                    data, self._starts[index], (offset, info & 0xFFFFFFFF, info >> 32, addend), self._places
                )
                if problem and len(self._problems) < _PROBLEMS:
                    self._problems[f"{safe_text(self._sections[index].name)}: {problem}"] = None
        return bytes(data)

    # The relocation tables of each section. Together they are no larger than the file, as all that lies in it.
    @cached_property
    def _tables(self) -> dict[int, list[Section]]:
        found: dict[int, list[Section]] = {}
        for section in self._sections:
            if section.type == "RELA":
                found.setdefault(section.info, []).append(section)
        if sum(s.size for tables in found.values() for s in tables) > self._elf.size:
            raise BadFile("its relocation sections have more bytes than the file")
        return found

    def _pieces_in(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        for number in range(max(0, bisect_right(self._piece_starts, start) - 1), len(self._pieces)):
            piece = self._pieces[number]
            if piece[1] >= end:
                return
            if start < piece[1] + piece[2]:
                yield piece

    def _bytes_of(self, section: Section) -> bytes:
        return self._elf.read_file(section.offset, section.size)

    def _runtime(self, symbol: ElfSymbol) -> Symbol:
        limit = self.symbol_table.next_after(symbol.address) or LinkAddress(0)
        return Symbol(symbol.name, Address(symbol.address), symbol.size, self.path, Address(limit))

    def _shown_section(self, entry: _Raw) -> int:
        return min(len(self._sections) if entry.section == _SHN_COMMON else entry.section, _SHN_XINDEX)

    def _alignment(self, section: Section) -> int:
        if section.alignment & section.alignment - 1 or section.alignment > _IMAGE_LIMIT:
            raise BadFile(f"section {section.number:#x} has the alignment {section.alignment:#x}")
        return section.alignment or 1

    def _checked(self, position: int, base: int) -> int:
        if position - base > _IMAGE_LIMIT:
            raise BadFile(f"its sections and symbols take more than {_IMAGE_LIMIT:#x} bytes of memory")
        return position


# Code, constants, data: what a linker keeps in segments of their own.
def _kind(section: Section) -> int:
    return 0 if section.flags & SHF_EXECINSTR else 2 if section.flags & _SHF_WRITE else 1


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
