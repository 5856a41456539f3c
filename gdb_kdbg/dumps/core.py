"""A core dump as a target, without GDB: of a Linux process, or of a guest by QEMU's `dump-guest-memory`."""

from __future__ import annotations

from functools import cached_property
from typing import Mapping, Optional, Sequence, Union

from ..dwarf import own_line_at, variable_type
from ..dwarf_types import member
from ..elf import ElfFile, Note, open_elf
from ..errors import BadFile, KdbgError, NotSupported
from ..symbols import Symbols
from ..target import ArrayType, Frame, Location, Objfile, Signal, Symbol
from ..units import Address, Size, safe_text
from . import notes
from .guest import GuestMemory
from .memory import ProcessMemory
from .notes import MappedFile, Thread
from .objfiles import Found, find_files
from .unwind import unwind

_ALIASES = {"pc": "rip", "sp": "rsp", "fp": "rbp"}


class CoreTarget:
    """The target of a core dump; `problems` are files that it names but that could not be read."""

    kind = "core dump"
    architecture = "i386:x86-64"

    def __init__(self, core: ElfFile, files: Sequence[str] = (), thread: int = 0) -> None:
        """Take an opened core file of x86-64; `thread` is an index into `threads`."""
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
        self._problems: list[str] = []

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
        return (*memory, *self._found.problems, *self._symbols.problems, *self._problems)

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

    def symbol(self, name: str) -> Optional[Symbol]:
        """Look up a symbol by its exact name."""
        return self._symbols.symbol(name)

    def suggest(self, name: str) -> list[str]:
        """Return symbol names that look like `name`."""
        return self._symbols.suggest(name)

    def location(self, address: Address) -> Optional[Location]:
        """Name the function that holds a code address, with its line."""
        found = self._symbols.at(address)
        if found is None:
            return None
        file, line = self._line(address) or (None, None)
        return Location(found[0].name, found[1], file, line)

    def label(self, address: Address) -> Optional[Symbol]:
        """Return the nearest symbol of any kind at or below an address."""
        return self._symbols.nearest(address)

    def objfiles(self) -> Sequence[Objfile]:
        """List the files that were given and those that were loaded, the main program first."""
        return self._found.objfiles

    def variable_type(self, name: str) -> Optional[ArrayType]:
        """Return the DWARF type of a global variable, None without debug information."""
        symbol = self.symbol(name)
        # Other files need not be searched; reading all of a C library's DWARF takes half a minute.
        own = (elf for objfile, elf in self._symbols.files if symbol and objfile.path == symbol.objfile)
        found = (variable_type(elf, name) for elf in own)
        return next((kind for kind in found if kind is not None), None)

    def member(self, of: str, path: str) -> Optional[tuple[int, int]]:
        """Return (offset, size) of a member in the structure of a global variable."""
        symbol = self.symbol(of)
        own = (elf for objfile, elf in self._symbols.files if symbol and objfile.path == symbol.objfile)
        return next(filter(None, (member(elf, of, path) for elf in own)), None)

    def frames(self, limit: int) -> Sequence[Frame]:
        """Unwind at most `limit` frames of the selected thread, innermost first; inlined calls are not frames."""
        return unwind(self._memory, self._symbols, self.threads[self._thread].registers, limit)

    def auxiliary_vector(self) -> Mapping[int, int]:
        """Return the auxiliary vector of the process; empty for a guest."""
        return self._auxiliary

    def stop_signal(self) -> Optional[Signal]:
        """Return the signal that ended the program, which is that of its first thread."""
        return self.signal if self._thread == 0 else None

    @cached_property
    def _symbols(self) -> Symbols:
        return Symbols(self._found.objfiles)

    @cached_property
    def _found(self) -> Found:
        return find_files(self, self.mapped, self._files)

    def _line(self, address: Address) -> Optional[tuple[str, int]]:
        for objfile, elf in self._symbols.holders(address):
            try:
                found = own_line_at(elf, address - objfile.load_bias)
            except BadFile as error:
                self._problems.append(str(error))
                continue
            if found is not None:
                return found
        return None


def _is_guest(found: Sequence[Note]) -> bool:
    return any(note.owner == "QEMU" for note in found)
