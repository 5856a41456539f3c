"""The slots that a report page shows: of each loaded file a summary, and those that are not as they should be."""

from __future__ import annotations

from typing import Optional, Sequence

from .dossier import SlotTable
from .elf import ElfFile
from .errors import KdbgError
from .finding import Finding
from .process import X86_64
from .relocations import ELSEWHERE, LAZY, RESOLVED, UNDECIDABLE, UNRELOCATED, counts_of
from .scene import Scene
from .slot_report import LoadedSlots, Slot
from .target import Objfile
from .units import Count, Word, address, safe_text

_SHOWN = 60
# The worst first; slots bound at their first call are as they should be.
_RANKS = (UNRELOCATED, ELSEWHERE, UNDECIDABLE)
_HEALTHY = (RESOLVED, LAZY)


def slot_tables(scene: Scene, findings: Sequence[Finding]) -> tuple[SlotTable, ...]:
    """Return a table for each loaded file that has slots, the ones with something wrong first."""
    if scene.target.architecture != X86_64:
        return ()
    blamed: set[Optional[int]] = {finding.facts.slot_address for finding in findings}
    tables = [table for objfile, elf in scene.scope.files if (table := _table(scene, objfile, elf, blamed))]
    return tuple(sorted(tables, key=lambda table: not table.slots))


def _table(scene: Scene, objfile: Objfile, elf: ElfFile, blamed: set[Optional[int]]) -> Optional[SlotTable]:
    try:
        loaded = LoadedSlots(scene.scope, objfile, elf, scene.target)
        rows = loaded.rows()
    except KdbgError as error:
        scene.problems.append(str(error))
        return None
    if not rows:
        return None
    wrong = [row for row in rows if row.status not in _HEALTHY or row.slot_address in blamed]
    shown = sorted(wrong, key=lambda row: _rank(row, blamed))[:_SHOWN]
    counts = counts_of(row.status for row in rows if row.status)
    return SlotTable(
        safe_text(objfile.path, 200), Word(address(objfile.load_bias)), loaded.state(), counts, tuple(shown),
        Count(len(wrong) - len(shown)),
    )  # fmt: skip


def _rank(row: Slot, blamed: set[Optional[int]]) -> tuple[bool, int, int]:
    status = _RANKS.index(row.status) if row.status in _RANKS else len(_RANKS)
    return row.slot_address not in blamed, status, row.slot_address
