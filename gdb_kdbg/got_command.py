"""What `kdbg got` and `kdbg reloc` do with their options."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from typing import Callable, NamedTuple, Optional, Sequence

from .elf import ElfFile
from .errors import KdbgError
from .relocations import counts_of
from .selection import Selection, select
from .session import Session
from .slot_report import LoadedSlots, ObjfileSlots, Slot
from .target import Objfile
from .units import Count, Word, address, is_kernel_half, safe_text

_PATIENCE = 1.0


class GotReport(NamedTuple):
    """The slots of each objfile that was asked for."""

    objfiles: tuple[ObjfileSlots, ...]
    problems: tuple[str, ...] = ()


class Wish(NamedTuple):
    """Which slots are wanted; an empty pattern wants all."""

    symbol: str = ""
    status: str = ""
    section: str = ""
    with_copies: bool = False

    def accepts(self, slot: Slot) -> bool:
        if self.status and slot.status != self.status:
            return False
        if self.section and not fnmatchcase(slot.section, self.section):
            return False
        names = (slot.symbol, slot.demangled, slot.points_to)
        return not self.symbol or any(fnmatchcase(name, self.symbol) for name in names)

    @property
    def is_all(self) -> bool:
        return not (self.symbol or self.status or self.section)


def list_slots(session: Session, name: Optional[str], bias: Optional[str], wish: Wish) -> GotReport:
    """List the slots of the objfiles that match, with the verdict on each; raise KdbgError."""
    chosen = select(session, name, bias)
    if wish.status and chosen.memory is None:
        raise KdbgError("--status needs a program: a file alone has no values to judge")
    found: list[ObjfileSlots] = []
    problems = list(chosen.scope.problems)
    tell = _Progress(session.progress, len(chosen.files))
    for objfile, elf in chosen.files:
        tell.at(objfile)
        try:
            found.append(_slots_of(chosen, objfile, elf, wish))
        except KdbgError as error:
            problems.append(str(error))
    if not found and problems:
        raise KdbgError(problems[0])
    # Among all files only those are of interest that have what was asked for.
    shown = [f for f in found if f.slots] if name is None and not wish.is_all else found
    return GotReport(tuple(shown), tuple(problems))


def _slots_of(chosen: Selection, objfile: Objfile, elf: ElfFile, wish: Wish) -> ObjfileSlots:
    loaded = LoadedSlots(chosen.scope, objfile, elf, chosen.memory)
    rows: Sequence[Slot] = loaded.rows(wish.with_copies)
    counts = counts_of(row.status for row in rows if row.status)
    done, total = loaded.relocated_of
    return ObjfileSlots(
        safe_text(objfile.path, 200),
        Word(address(objfile.load_bias)),
        loaded.state() if loaded.planned else _no_slots(elf),
        counts,
        Count(done),
        Count(total),
        tuple(rows if wish.is_all else filter(wish.accepts, rows)),
    )


def _no_slots(elf: ElfFile) -> str:
    if elf.type == "REL":
        return "an object file: its relocations are for the linker, and it has no slots before it is linked"
    if any(is_kernel_half(segment.address) for segment in elf.loaded) and not elf.dynamic():
        return "a kernel image without a dynamic section: all its addresses were fixed when it was linked, no slots"
    return "no dynamic relocations"


class _Progress:
    """Tells which file is being read, once it takes long."""

    def __init__(self, tell: Callable[[str], None], total: int) -> None:
        self._tell, self._total, self._count = tell, total, 0
        self._start = time.monotonic()

    def at(self, objfile: Objfile) -> None:
        self._count += 1
        if time.monotonic() - self._start > _PATIENCE:
            self._tell(f"{self._count} of {self._total}: {safe_text(objfile.path, 80)}")
