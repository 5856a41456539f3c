"""ELF files without a program: what can be said of slots, symbols and vtables before anything runs."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence

from .errors import MemoryFault
from .named_by_files import NamedByFiles
from .target import Frame, Objfile, Signal
from .units import Address, Size

KIND = "file"


class FileTarget(NamedByFiles):
    """Files as a target: memory is what the files hold, there are no registers and no frames.

    A word that a relocation is to fill still has what the linker left in it.
    """

    kind = KIND
    is_system = False
    architecture = "i386:x86-64"

    def __init__(self, objfiles: Sequence[Objfile]) -> None:
        super().__init__()
        self._objfiles = tuple(objfiles)

    @property
    def problems(self) -> Sequence[str]:
        return (*self.symbols.problems, *self.line_problems)

    def read_memory(self, address: Address, size: Size) -> bytes:
        for objfile, elf in self.symbols.holders(address):
            return elf.read(address - objfile.load_bias, size)
        raise MemoryFault(address, size, "not in any of the files")

    def register(self, name: str) -> Optional[int]:
        return None

    def objfiles(self) -> Sequence[Objfile]:
        return self._objfiles

    def frames(self, limit: int) -> Sequence[Frame]:
        return ()

    def auxiliary_vector(self) -> Mapping[int, int]:
        return {}

    def stop_signal(self) -> Optional[Signal]:
        return None
