"""What a target can say of names, types and lines without GDB: from the files of its objfiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Iterator, Optional, Sequence

from .dwarf import own_line_at, variable_type
from .dwarf_types import member
from .elf import ElfFile
from .errors import BadFile
from .symbols import Symbols
from .target import ArrayType, Location, Objfile, Symbol
from .units import Address


class NamedByFiles(ABC):
    """The names, types and lines of a target, from its files; a base of targets that work without GDB.

    `line_problems` are the line tables that could not be read so far.
    """

    def __init__(self) -> None:
        self.line_problems: list[str] = []

    @abstractmethod
    def objfiles(self) -> Sequence[Objfile]:
        """List the files, the main program first."""

    @cached_property
    def symbols(self) -> Symbols:
        """The symbols of all objfiles, read when first asked for."""
        return Symbols(self.objfiles())

    def symbol(self, name: str) -> Optional[Symbol]:
        """Look up a symbol by its exact name."""
        return self.symbols.symbol(name)

    def suggest(self, name: str) -> list[str]:
        """Return symbol names that look like `name`."""
        return self.symbols.suggest(name)

    def location(self, address: Address) -> Optional[Location]:
        """Name the function that holds a code address, with its line."""
        found = self.symbols.at(address)
        if found is None:
            return None
        file, line = self._line(address) or (None, None)
        return Location(found[0].name, found[1], file, line)

    def label(self, address: Address) -> Optional[Symbol]:
        """Return the nearest symbol of any kind at or below an address."""
        return self.symbols.nearest(address)

    def variable_type(self, name: str) -> Optional[ArrayType]:
        """Return the DWARF type of a global variable, None without debug information."""
        return next(filter(None, (variable_type(elf, name) for elf in self._files_of(name))), None)

    def member(self, of: str, path: str) -> Optional[tuple[int, int]]:
        """Return (offset, size) of a member in the structure of a global variable."""
        return next(filter(None, (member(elf, of, path) for elf in self._files_of(of))), None)

    # Other files need not be searched; reading all of a C library's DWARF takes half a minute.
    def _files_of(self, name: str) -> Iterator[ElfFile]:
        symbol = self.symbol(name)
        return (elf for objfile, elf in self.symbols.files if symbol and objfile.path == symbol.objfile)

    def _line(self, address: Address) -> Optional[tuple[str, int]]:
        for objfile, elf in self.symbols.holders(address):
            try:
                found = own_line_at(elf, address - objfile.load_bias)
            except BadFile as error:
                self.line_problems.append(str(error))
                continue
            if found is not None:
                return found
        return None
