"""What a log lets one read of a kernel's memory: the words that it tells, and what never changes of ELF files."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence

from .errors import MemoryFault
from .file_target import FileTarget
from .target import Objfile, Symbol
from .units import Address, Size

# ELF, program header: PF_X, PF_W.
_EXECUTABLE, _WRITABLE = 1, 2
_LINE_SIZE = Size(8)


class LogTarget(FileTarget):
    """A crashed machine as its log shows it. Data that the kernel may have changed is not what its file holds."""

    kind = "log"
    is_system = True

    def __init__(
        self,
        objfiles: Sequence[Objfile] = (),
        registers: Optional[Mapping[str, int]] = None,
        words: Optional[Mapping[int, int]] = None,
    ) -> None:
        super().__init__(objfiles)
        self._registers = dict(registers or {})
        self._words = dict(words or {})

    def read_memory(self, address: Address, size: Size) -> bytes:
        word = self._words.get(address)
        if word is not None and size <= _LINE_SIZE:
            return word.to_bytes(8, "little")[:size]
        if not self._has(address, size, without=_WRITABLE):
            raise MemoryFault(address, size, "the log does not tell")
        return super().read_memory(address, size)

    def register(self, name: str) -> Optional[int]:
        return self._registers.get(name)

    def label(self, address: Address) -> Optional[Symbol]:
        """Return the label of code; of data a label would say that it is the same as when it was copied."""
        return super().label(address) if self._has(address, Size(1), flags=_EXECUTABLE) else None

    def _has(self, address: int, size: int, flags: int = 0, without: int = 0) -> bool:
        for objfile, elf in self.symbols.holders(address):
            place = address - objfile.load_bias
            return any(
                part.address <= place and place + size <= part.end and part.flags & flags == flags
                and not part.flags & without for part in elf.loaded
            )  # fmt: skip
        return False
