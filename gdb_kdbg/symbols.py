"""Symbols of a running program: the symbol tables of its objfiles, moved by their load biases."""

from __future__ import annotations

from functools import cached_property
from typing import Iterator, Optional, Sequence

from .elf import ElfFile, open_elf
from .errors import KdbgError
from .intervals import Intervals
from .symbol_table import SHN_ABS, ElfSymbol, SymbolTable
from .target import Objfile, Symbol
from .units import Address, Size, address

__all__ = ["ElfSymbol", "SymbolTable", "Symbols"]

_SUGGESTIONS = 5
# difflib compares some 20,000 names in a second, so it only sees names that look alike at first glance.
_CANDIDATES = 2000
_LENGTH_DIFFERENCE = 3


class Symbols:
    """The symbols of several objfiles. A file that cannot be read is left out, and its error kept in `problems`."""

    def __init__(self, objfiles: Sequence[Objfile]) -> None:
        self.objfiles = tuple(objfiles)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read of the files."""
        return self._opened[1]

    @property
    def files(self) -> tuple[tuple[Objfile, ElfFile], ...]:
        """The objfiles that could be read."""
        return self._opened[0]

    def symbol(self, name: str) -> Optional[Symbol]:
        """Return the symbol of that exact name, from the first objfile that has one with an address."""
        for objfile, elf in self.files:
            found = elf.symbol_table().by_name(name)
            if found is not None and found.kind != "TLS":
                return _runtime(objfile, elf, found)
        return None

    def at(self, runtime_address: int) -> Optional[tuple[Symbol, Size]]:
        """Return the function or object that holds an address, and the offset in it."""
        for objfile, elf in self.holders(runtime_address):
            found = elf.symbol_table().at(runtime_address - objfile.load_bias)
            if found is not None:
                symbol = _runtime(objfile, elf, found)
                return symbol, Size(runtime_address - symbol.address)
        return None

    def name_at(self, runtime_address: int) -> Optional[tuple[str, int, Objfile]]:
        """Return name, offset and objfile of what `at` finds; some microseconds each, for tables of addresses."""
        segments, owners = self._segments
        index = segments.innermost(runtime_address)
        if index < 0:
            return None
        objfile, elf = self.files[owners[index]]
        found = elf.symbol_table().name_at(runtime_address - objfile.load_bias)
        if found is not None:
            return found[0], found[1], objfile
        return None if self._are_disjoint else self._outer_name_at(runtime_address)

    def _outer_name_at(self, runtime_address: int) -> Optional[tuple[str, int, Objfile]]:
        names = (
            (o, elf.symbol_table().name_at(runtime_address - o.load_bias)) for o, elf in self.holders(runtime_address)
        )
        return next(((*found, objfile) for objfile, found in names if found), None)

    def nearest(self, runtime_address: int) -> Optional[Symbol]:
        """Return the nearest symbol of any kind at or below an address, in the same section."""
        for objfile, elf in self.holders(runtime_address):
            found = elf.symbol_table().nearest(runtime_address - objfile.load_bias)
            if found is not None:
                return _runtime(objfile, elf, found)
        return None

    def suggest(self, name: str) -> list[str]:
        """Return up to five names that look like `name`, the best first."""
        import difflib

        names = (other for _, elf in self.files for other in elf.symbol_table().names())
        alike = {other for other in names if _looks_alike(other, name)}
        return difflib.get_close_matches(name, sorted(alike)[:_CANDIDATES], _SUGGESTIONS)

    def holders(self, runtime_address: int) -> Iterator[tuple[Objfile, ElfFile]]:
        """Yield the objfiles with a loaded segment at an address; more than one only where biases are wrong."""
        intervals, owners = self._segments
        for index in intervals.covering(runtime_address):
            yield self.files[owners[index]]

    @cached_property
    def _opened(self) -> tuple[tuple[tuple[Objfile, ElfFile], ...], tuple[str, ...]]:
        files, problems = [], []
        for objfile in self.objfiles:
            try:
                elf = open_elf(objfile.path)
                elf.symbol_table()
                files.append((objfile, elf))
            except KdbgError as error:
                problems.append(str(error))
        return tuple(files), tuple(problems)

    @cached_property
    def _are_disjoint(self) -> bool:
        return self._segments[0].are_disjoint

    @cached_property
    def _segments(self) -> tuple[Intervals, tuple[int, ...]]:
        spans = sorted(
            (segment.address + objfile.load_bias, segment.end + objfile.load_bias, index)
            for index, (objfile, elf) in enumerate(self.files)
            for segment in elf.loaded
        )
        return Intervals([s[0] for s in spans], [s[1] for s in spans]), tuple(s[2] for s in spans)


def _looks_alike(other: str, name: str) -> bool:
    bare, wanted = other.lower().strip("_"), name.lower().strip("_")
    return bare[:1] == wanted[:1] and abs(len(bare) - len(wanted)) <= _LENGTH_DIFFERENCE or name in other


def _runtime(objfile: Objfile, elf: ElfFile, symbol: ElfSymbol) -> Symbol:
    if symbol.section_index == SHN_ABS:  # A number that happens to be a symbol; nothing moves it.
        return Symbol(symbol.name, Address(symbol.address), symbol.size, objfile.path)
    limit = elf.symbol_table().next_after(symbol.address)
    runtime_limit = address(limit + objfile.load_bias) if limit is not None else Address(0)
    return Symbol(symbol.name, address(symbol.address + objfile.load_bias), symbol.size, objfile.path, runtime_limit)
