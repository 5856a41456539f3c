"""Names of the code that events speak of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Dict, Iterable, Optional

from .demangle import demangle
from .events import Event
from .units import is_kernel_half, shown

if TYPE_CHECKING:
    from .symbols import Symbols

_NAME = 120


class AddressNames:
    """Names of code. Programs of a kernel share their addresses, so one is named only by the file of its program."""

    def __init__(self, symbols: Optional[Symbols]) -> None:
        self._symbols = symbols
        self._programs: Dict[Optional[int], str] = {}

    def note(self, events: Iterable[Event]) -> None:
        """Learn from the events which program a process runs."""
        if self._symbols is None:
            return
        for event in events:
            if event.type == "process_exec":
                self._programs[event.pid] = os.path.basename(str(event.fields.get("argv0", "")))
            elif event.type == "process_fork" and event.pid in self._programs:
                child = event.number("child_pid")
                self._programs[child] = self._programs[event.pid]

    def __call__(self, address: int, pid: Optional[int]) -> str:
        """Return `<function+0x12>`, or nothing if that is not certain."""
        found = self._symbols.name_at(address) if self._symbols is not None else None
        if found is None:
            return ""
        name, offset, objfile = found
        if not is_kernel_half(address) and not self._runs(pid, objfile.path, address):
            return ""
        text = shown(demangle(name))[:_NAME]
        return f"<{text}+{offset:#x}>" if offset else f"<{text}>"

    def _runs(self, pid: Optional[int], path: str, address: int) -> bool:
        program = self._programs.get(pid)
        if program is not None:
            return program == os.path.basename(path)
        return self._symbols is not None and len(list(self._symbols.holders(address))) == 1
