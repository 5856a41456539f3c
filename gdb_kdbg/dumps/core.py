"""A core dump as a target, without GDB: of a Linux process, or of a guest by QEMU's `dump-guest-memory`."""

from __future__ import annotations

from functools import cached_property
from typing import Mapping, Optional, Sequence, Union

from ..elf import ElfFile, Note, open_elf
from ..errors import BadFile, KdbgError, NotSupported
from ..named_by_files import NamedByFiles
from ..target import Frame, Objfile, Signal
from ..units import Address, Size, safe_text
from . import notes
from .guest import GuestMemory
from .memory import ProcessMemory
from .notes import MappedFile, Thread
from .objfiles import Found, find_files
from .unwind import unwind

_ALIASES = {"pc": "rip", "sp": "rsp", "fp": "rbp"}


class CoreTarget(NamedByFiles):
    """The target of a core dump; `problems` are files that it names but that could not be read."""

    kind = "core dump"
    architecture = "i386:x86-64"

    def __init__(self, core: ElfFile, files: Sequence[str] = (), thread: int = 0) -> None:
        """Take an opened core file of x86-64; `thread` is an index into `threads`."""
        super().__init__()
        found = core.notes()
        self._core, self._thread = core, thread
        self.threads: tuple[Thread, ...] = notes.threads(found)
        self.mapped: tuple[MappedFile, ...] = notes.mapped_files(found)
        self.signal: Optional[Signal] = notes.signal(found)
        self._auxiliary = notes.auxiliary_vector(found)
        self._memory: Union[GuestMemory, ProcessMemory] = (
            GuestMemory(core, self.threads[thread].registers) if _is_guest(found) else ProcessMemory(core, self.mapped)
        )
        self._files = tuple(files)

    @classmethod
    def open(cls, core_path: str, files: Sequence[str] = ()) -> CoreTarget:
        """Open a core file, and the ELF files that explain it.

        Raises BadFile if it is no core file or a malformed one, NotSupported if it is not of x86-64.
        """
        core = open_elf(core_path)
        name = safe_text(core_path, 200)
        if core.type != "CORE":
            raise BadFile(f"{name} is not a core dump but an ELF file of type {core.type}")
        if core.machine != "x86-64":
            raise NotSupported(f"{name} is a core dump of {core.machine}; kdbg reads those of x86-64")
        return cls(core, files)

    @property
    def is_system(self) -> bool:
        """Whether this is the memory of a guest, written by QEMU."""
        return isinstance(self._memory, GuestMemory)

    @property
    def problems(self) -> tuple[str, ...]:
        memory = self._memory.problems if isinstance(self._memory, GuestMemory) else ()
        return (*memory, *self._found.problems, *self.symbols.problems, *self.line_problems)

    def select(self, index: int) -> CoreTarget:
        """Return the same dump with another thread selected, by its index in `threads`."""
        if not 0 <= index < len(self.threads):
            raise KdbgError(f"no thread {index}; the core dump has {len(self.threads)}")
        return CoreTarget(self._core, self._files, index)

    def read_memory(self, address: Address, size: Size) -> bytes:
        """Return exactly `size` bytes, or raise MemoryFault."""
        return self._memory.read_memory(address, size)

    def register(self, name: str) -> Optional[int]:
        """Return a register of the selected thread under GDB's name, None if the dump has no such register."""
        return self.threads[self._thread].registers.get(_ALIASES.get(name, name))

    def objfiles(self) -> Sequence[Objfile]:
        """List the files that were given and those that were loaded, the main program first."""
        return self._found.objfiles

    def frames(self, limit: int) -> Sequence[Frame]:
        """Unwind at most `limit` frames of the selected thread, innermost first; inlined calls are not frames."""
        return unwind(self._memory, self.symbols, self.threads[self._thread].registers, limit)

    def auxiliary_vector(self) -> Mapping[int, int]:
        """Return the auxiliary vector of the process; empty for a guest."""
        return self._auxiliary

    def stop_signal(self) -> Optional[Signal]:
        """Return the signal that ended the program, which is that of its first thread."""
        return self.signal if self._thread == 0 else None

    @cached_property
    def _found(self) -> Found:
        return find_files(self, self.mapped, self._files)


def _is_guest(found: Sequence[Note]) -> bool:
    return any(note.owner == "QEMU" for note in found)
