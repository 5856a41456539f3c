"""The session of the outside program: a core dump or a guest's memory dump, with nothing to run or change."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Mapping, NoReturn, Optional, Sequence

from ..errors import BadFile, KdbgError, NotSupported, SymbolNotFound, TargetUnavailable
from ..registry import SETTINGS
from ..units import Address, address

# Cores, files, scenes: a command needs one of them, and each takes its time to import.
if TYPE_CHECKING:
    from ..connect_command import Connected
    from ..ranges import Range
    from ..scene import Scene
    from ..session import Guards
    from ..symbols import Symbols
    from ..target import LiveTarget, Target
    from ..uml_processes import KernelProcess
    from ..vtable_words import VtablePointer


class OfflineSession:
    """What commands are given outside GDB."""

    def __init__(self, core: Optional[str], files: Sequence[str], settings: Mapping[str, str]) -> None:
        core, files = (core, files) if core else _core_among(files)
        self._target = _core(core, files) if core else None
        self._files = tuple(files)
        self._settings = {setting.name: settings.get(setting.name, setting.default) for setting in SETTINGS}

    @cached_property
    def guards(self) -> Guards:
        from ..session import Guards

        return Guards()

    @property
    def target(self) -> Target:
        if self._target is None:
            raise TargetUnavailable("no target: name a core dump with --core FILE")
        return self._target

    def files_target(self) -> Target:
        """The core dump, or the files that were named."""
        if self._target is None and self._files:
            from ..file_target import FileTarget
            from ..target import Objfile

            return FileTarget([Objfile(path, 0) for path in self._files])
        if self._target is None:
            raise TargetUnavailable(
                "no target: name a file before what is looked for in it, or a core dump with --core"
            )
        return self._target

    def loaded_symbols(self) -> Optional[Symbols]:
        if self._target is None and not self._files:
            return None
        from ..symbols import Symbols

        symbols = Symbols(tuple(self.files_target().objfiles()))
        if symbols.problems and self._target is None:
            raise BadFile(f"{symbols.problems[0]} (files behind the first are for symbols)")
        return symbols

    def standard_input(self) -> int:
        return sys.stdin.fileno()

    def processes(self) -> int:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def settings(self) -> Mapping[str, str]:
        return self._settings

    def scene(self) -> Scene:
        from ..scene import Scene

        return Scene(self.target, self.settings, self.guards)

    def progress(self, text: str) -> None:
        """Write to the terminal, if there is one."""
        if sys.stderr.isatty():
            print(f"kdbg: {text}", file=sys.stderr)

    def evaluate(self, expression: str) -> Address:
        """Evaluate `NUMBER`, `SYMBOL` or `$register`, with `+NUMBER` or `-NUMBER` behind it."""
        base, sign, offset = _split(expression.replace(" ", ""))
        return address(self._value(base, expression) + (int(sign + offset, 0) if offset else 0))

    def vtable_pointer(self, expression: str) -> VtablePointer:
        """Take the expression as an address; there are no types outside GDB."""
        from ..vtable_words import ADDRESS, VtablePointer

        return VtablePointer(ADDRESS, self.evaluate(expression))

    def _value(self, word: str, expression: str) -> int:
        try:
            return int(word, 0)
        except ValueError:
            pass
        target = self.files_target()
        if word.startswith("$"):
            register = target.register(word[1:])
            if register is None:
                raise KdbgError(f"no register {word!r} in this dump")
            return register
        symbol = target.symbol(word.lstrip("&"))
        if symbol is None:
            raise SymbolNotFound(f"cannot evaluate {expression!r} outside GDB: no symbol {word!r}")
        return symbol.address

    def live_target(self) -> LiveTarget:
        _needs_live()

    def watch(self, what: str, range: Range, any_process: bool) -> str:
        _needs_live()

    def check_system_calls(self, entry: str, exit: str) -> str:
        _needs_live()

    def connected_process(self) -> Optional[int]:
        return None

    def connect_kernel(self, kernel: KernelProcess) -> Connected:
        _needs_live()

    def connect_stub(self, place: str) -> Connected:
        _needs_live()

    def overlaps(self) -> NoReturn:
        _needs_live()

    def disarm(self) -> int:
        return 0

    def armed(self) -> tuple[str, ...]:
        return ()


# A core dump needs no option of its own if its name is given with the others.
def _core_among(files: Sequence[str]) -> tuple[Optional[str], Sequence[str]]:
    core = next((path for path in files if _is_core(path)), None)
    return core, [path for path in files if path != core]


# By its first bytes: an ELF file of type ET_CORE. Opening a pipe would wait for its writer.
def _is_core(path: str) -> bool:
    try:
        with open(path if os.path.isfile(path) else os.devnull, "rb") as stream:
            head = stream.read(18)
    except OSError:
        return False
    return head[:4] == b"\x7fELF" and head[16:18] == b"\4\0"


def log_among(files: Sequence[str]) -> tuple[Optional[str], list[str]]:
    """Return the file that is no ELF file, if there is one, and the others. One that is missing is taken for a log if
    nothing else is named that could be looked at."""
    from ..log_files import is_elf

    others = [path for path in files if not is_elf(path)]
    there = [path for path in others if os.path.exists(path)]
    log = next(iter(there or (others if len(others) == len(files) else ())), None)
    return log, [path for path in files if path != log]


def _split(text: str) -> tuple[str, str, str]:
    for sign in "+-":
        base, found, offset = text.partition(sign)
        if found and base and offset[:1].isdigit():
            return base, sign, offset
    return text, "", ""


def _needs_live() -> NoReturn:
    raise NotSupported("a core dump cannot be changed or run: this needs a live target in GDB")


def _core(path: str, files: Sequence[str]) -> Target:
    from ..dumps.core import CoreTarget

    return CoreTarget.open(path, files)
