"""Names for the addresses of a log: from the files that the user names, or those that GDB has loaded."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Iterable, Mapping, Optional, Sequence

from .errors import KdbgError
from .units import Address, shown

# Files, their symbols and their names in C++ and Rust: most logs come without any.
if TYPE_CHECKING:
    from .event_names import AddressNames
    from .events import Event
    from .log_target import LogTarget
    from .symbols import Symbols
    from .target import Location, Objfile


class Symbolic:
    """The files with symbols; without any, addresses stay numbers."""

    def __init__(self, objfiles: Sequence[Objfile] = ()) -> None:
        self.objfiles = tuple(objfiles)

    @cached_property
    def _symbols(self) -> Optional[Symbols]:
        if not self.objfiles:
            return None
        from .symbols import Symbols

        return Symbols(self.objfiles)

    @cached_property
    def _names(self) -> AddressNames:
        from .event_names import AddressNames

        return AddressNames(self._symbols)

    @cached_property
    def _files(self) -> LogTarget:
        return self.target()

    @property
    def problems(self) -> Sequence[str]:
        """What could not be read of the files."""
        return self._symbols.problems if self._symbols else ()

    def note(self, events: Iterable[Event]) -> None:
        """Learn from events which program a process runs."""
        if self.objfiles:
            self._names.note(events)

    def name(self, address: int, pid: Optional[int]) -> str:
        """Return `<function+0x12>`, or nothing if that is not certain."""
        return self._names(address, pid) if self.objfiles else ""

    def name_of(self, address: int) -> Optional[tuple[str, int]]:
        """Return function and offset of a kernel's address."""
        found = self._symbols.name_at(address) if self._symbols else None
        if found is None:
            return None
        from .demangle import demangle

        return shown(demangle(found[0])), found[1]

    def location(self, address: int) -> Optional[Location]:
        """Return function and line of an address of code."""
        if not self.objfiles:
            return None
        try:
            return self._files.location(Address(address))
        except KdbgError:
            return None

    def target(
        self, registers: Optional[Mapping[str, int]] = None, words: Optional[Mapping[int, int]] = None
    ) -> LogTarget:
        """Return what the log lets one read: the files, some registers, some words of memory."""
        from .log_target import LogTarget

        return LogTarget(self.objfiles, registers, words)


def parse_objfile(text: str) -> Objfile:
    """Read `ELF` or `ELF=BIAS`, the load bias in hex or decimal; raise KdbgError."""
    from .target import Objfile

    path, separator, bias = text.rpartition("=")
    if not separator:
        return Objfile(text, 0)
    try:
        return Objfile(path, int(bias, 0))
    except ValueError:
        raise KdbgError(f"no load bias: {shown(bias)!r} (--symbols ELF=BIAS, such as kernel.elf=0x1000)") from None
