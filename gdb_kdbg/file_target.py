"""ELF files without a program: what can be said of slots, symbols and vtables before anything runs."""

from __future__ import annotations

from functools import cached_property
from typing import Mapping, Optional, Sequence

from .dwarf import own_line_at, variable_type
from .dwarf_types import member
from .errors import KdbgError, MemoryFault
from .symbols import Symbols
from .target import ArrayType, Frame, Location, Objfile, Signal, Symbol
from .units import Address, Size

KIND = "file"


class FileTarget:
    """Files as a target: memory is what the files hold, there are no registers and no frames.

    A word that a relocation is to fill still has what the linker left in it.
    """

    kind = KIND
    is_system = False
    architecture = "i386:x86-64"

    def __init__(self, objfiles: Sequence[Objfile]) -> None:
        self._objfiles = tuple(objfiles)

    @property
    def problems(self) -> Sequence[str]:
        return self._symbols.problems

    def read_memory(self, address: Address, size: Size) -> bytes:
        for objfile, elf in self._symbols.holders(address):
            return elf.read(address - objfile.load_bias, size)
        raise MemoryFault(address, size, "not in any of the files")

    def register(self, name: str) -> Optional[int]:
        return None

    def symbol(self, name: str) -> Optional[Symbol]:
        return self._symbols.symbol(name)

    def location(self, address: Address) -> Optional[Location]:
        found = self._symbols.at(address)
        if found is None:
            return None
        file, line = self._line(address) or (None, None)
        return Location(found[0].name, found[1], file, line)

    def label(self, address: Address) -> Optional[Symbol]:
        return self._symbols.nearest(address)

    def objfiles(self) -> Sequence[Objfile]:
        return self._objfiles

    def variable_type(self, name: str) -> Optional[ArrayType]:
        found = (variable_type(elf, name) for _, elf in self._symbols.files)
        return next((kind for kind in found if kind is not None), None)

    def member(self, of: str, path: str) -> Optional[tuple[int, int]]:
        found = (member(elf, of, path) for _, elf in self._symbols.files)
        return next(filter(None, found), None)

    def frames(self, limit: int) -> Sequence[Frame]:
        return ()

    def auxiliary_vector(self) -> Mapping[int, int]:
        return {}

    def stop_signal(self) -> Optional[Signal]:
        return None

    @cached_property
    def _symbols(self) -> Symbols:
        return Symbols(self._objfiles)

    def _line(self, address: Address) -> Optional[tuple[str, int]]:
        try:
            lines = (own_line_at(elf, address - o.load_bias) for o, elf in self._symbols.holders(address))
            return next(filter(None, lines), None)
        except KdbgError:
            return None
