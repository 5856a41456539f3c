"""A guest's memory dump opened in GDB (`core FILE`) is read by kdbg itself.

GDB takes QEMU's dump for the core of a process: it has no page tables and no control registers, and where QEMU cuts
a mapping short it shows zeros or the contents of the ELF file as if they were memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

import gdb

from ..elf import open_elf
from .target import GdbTarget

if TYPE_CHECKING:
    from ..dumps.core import CoreTarget

_CORE_FILE = re.compile(r"core dump file:\s*`(.*)', file type")


class GuestDumps:
    """The dump GDB has open, read once."""

    def __init__(self) -> None:
        self._opened: Optional[CoreTarget] = None
        self._key: object = None

    def open(self, target: GdbTarget) -> Optional[CoreTarget]:
        """Return the open dump if it is one of a guest, with GDB's selected CPU and symbol files."""
        if target.kind != "core dump":
            return None
        found = _CORE_FILE.search(gdb.execute("info files", to_string=True) or "")
        if found is None:
            return None
        thread = gdb.selected_thread()
        key = found[1], thread.num if thread else 1, tuple(file.path for file in target.objfiles())
        if key != self._key:
            self._opened, self._key = _opened(*key), key
        return self._opened


def _opened(path: str, thread: int, files: tuple[str, ...]) -> Optional[CoreTarget]:
    if not any(note.owner == "QEMU" for note in open_elf(path).notes()):
        return None
    from ..dumps.core import CoreTarget

    return CoreTarget.open(path, files).select(thread - 1)
