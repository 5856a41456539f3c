"""The session of this GDB: one target, the settings, what is armed, and the note of the last stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Mapping, Optional

import gdb

from ..errors import KdbgError, NotSupported
from ..session import Guards
from ..target import LiveTarget, Target
from ..units import Address
from .guest_dumps import GuestDumps
from .leaving import Leaving
from .settings import setting_values
from .target import GdbTarget, evaluate

# What not every command needs is imported where it is used: a first command is to take no longer than the others.
if TYPE_CHECKING:
    from ..connect_command import Connected
    from ..overlap_report import OverlapHits
    from ..ranges import Range
    from ..scene import Note, Scene
    from ..symbols import Symbols
    from ..uml_processes import KernelProcess
    from ..vtable_words import VtablePointer
    from .overlaps import GdbOverlaps
    from .stops import Armed
    from .uml import UmlConnection


class GdbSession:
    """What commands are given inside GDB."""

    def __init__(self, show: Callable[[OverlapHits], None]) -> None:
        """Take what shows an overlapping copy to the user."""
        self._show = show
        self._target = GdbTarget()
        self.leaving = Leaving()
        self._armed: Optional[Armed] = None
        self._armed_in = 0
        self._overlaps: Optional[GdbOverlaps] = None
        self._dumps = GuestDumps()
        self.guards = Guards()
        self.note: Optional[Note] = None
        self._pending = False
        self._is_stale = False
        self._uml: Optional[UmlConnection] = None

    @property
    def target(self) -> Target:
        self._target.require_stopped()
        return self._dumps.open(self._target) or self._target

    def files_target(self) -> Target:
        """The target, or GDB's files where no program runs."""
        if gdb.selected_thread() is not None:
            return self.target
        from ..file_target import FileTarget
        from .objfiles import loaded_objfiles

        return FileTarget(loaded_objfiles())

    def loaded_symbols(self) -> Optional[Symbols]:
        return self._target.symbols_now()

    def standard_input(self) -> int:
        raise NotSupported("standard input is GDB's own here: name a file, a socket or a terminal")

    def processes(self) -> int:
        return 0

    @property
    def settings(self) -> Mapping[str, str]:
        return setting_values()

    def live_target(self) -> LiveTarget:
        target = self._target
        target.require_stopped()
        if target.kind == "core dump":
            raise NotSupported("a core dump cannot be changed or run: this needs a live target")
        return target

    def progress(self, text: str) -> None:
        """Write to GDB's error stream, so that what is piped stays clean."""
        gdb.write(f"kdbg: {text}\n", gdb.STDERR)
        gdb.flush(gdb.STDERR)

    def evaluate(self, expression: str) -> Address:
        return evaluate(expression)

    def vtable_pointer(self, expression: str) -> VtablePointer:
        from .fat_pointers import vtable_pointer

        return vtable_pointer(expression)

    def scene(self) -> Scene:
        """The scene of the current stop, with what kdbg noted when it stopped the target."""
        from ..scene import Scene

        return Scene(self.target, self.settings, self.guards, self.note)

    def _scene(self) -> Scene:
        from ..scene import Scene

        # While a breakpoint decides whether to stop, GDB still calls the thread running.
        return Scene(self._target, self.settings, self.guards, self.note)

    def watch(self, what: str, range: Range, any_process: bool) -> str:
        from ..uml_kernel import is_uml
        from .stops import readable

        self.live_target()
        readable(self._target, range)
        if what == "guard" and is_uml(self._target):
            return self._guarded(lambda: self._arms().watch_guest(range, self._scene, self._report))
        return self._guarded(lambda: self._arms().watch(what, range, any_process, self._scene, self._report))

    def check_system_calls(self, entry: str, exit: str) -> str:
        from ..ring_layout import parse_wish
        from ..syscalls import EXIT, SystemCallChecker, find_path
        from ..uml_kernel import is_uml

        target, armed = self.live_target(), self._arms()
        if armed.has_checks():
            raise KdbgError("the guard is checked around system calls already (kdbg canary --off ends it)")
        index = target.symbol(parse_wish(self.settings["ring-layout"]).index)
        checker = SystemCallChecker(self.guards, index.address if index else None)
        if self._uml:
            self._uml.require_symbols("the system calls of its guests cannot be checked")
        if is_uml(target) and not entry:
            return self._guarded(lambda: armed.check_guests(checker, self._report))
        checker.check(target, EXIT)
        if target.kind != "system emulator" and not entry:
            return self._guarded(lambda: armed.check_native(checker, self._report))
        path = find_path(target, entry, exit)
        return self._guarded(lambda: f"{armed.check_path(path, checker, self._report)} ({path.owner})")

    def connected_process(self) -> Optional[int]:
        is_native = self._target.kind == "native" and gdb.selected_thread() is not None
        return gdb.selected_inferior().pid if is_native else None

    def connect_kernel(self, kernel: KernelProcess) -> Connected:
        from .uml import UmlConnection

        self._uml = self._uml or UmlConnection(self._target, self.leaving)
        return self._uml.connect(kernel)

    def connect_stub(self, place: str) -> Connected:
        from .stub import connect_stub

        return connect_stub(self._target, place)

    def end(self) -> None:
        """GDB ends: undo what was done to the program, and disarm."""
        from .halting import drop_interrupt

        self.leaving.run()
        self.disarm()
        drop_interrupt()

    def overlaps(self) -> GdbOverlaps:
        if self._overlaps is None:
            from .overlaps import GdbOverlaps

            self._overlaps = GdbOverlaps(self._target, self.leaving, self._show, self._refresh)
        return self._overlaps

    def new_objfile(self) -> None:
        """Take note of a file that was loaded."""
        if self._overlaps:
            self._overlaps.loaded()

    def disarm(self) -> int:
        return self._disarm_checks() + (self._overlaps.disarm() if self._overlaps else 0)

    def _disarm_checks(self) -> int:
        self._armed_in = 0
        return self._armed.disarm() if self._armed else 0

    def armed(self) -> tuple[str, ...]:
        return tuple(line for arms in (self._armed, self._overlaps) if arms for line in arms.describe())

    def _arms(self) -> Armed:
        from .stops import Armed

        self._armed = self._armed or Armed(self._target)
        self._armed_in = gdb.selected_inferior().pid
        return self._armed

    def stopped(self) -> bool:
        """Take note of a stop; return whether kdbg has a story to tell of it."""
        if self._armed:
            self._armed.stopped()
        self._refresh()
        if self._overlaps:
            self._overlaps.stopped()
        pending, self._pending = self._pending, False
        return pending

    def _refresh(self) -> None:
        if self._uml:
            self._uml.refresh()

    def going_on(self) -> None:
        """Forget what was noted of the last stop."""
        self._target.going_on()
        self.note = None
        self._pending = False

    def connection_gone(self) -> None:
        """Forget what was known of the target; what is armed is removed at the next occasion."""
        self.going_on()
        self.guards.forget()
        self._is_stale = True

    def settle(self) -> None:
        """Remove what was armed on a target that is gone."""
        if self._is_stale:
            self._is_stale = False
            self._gone()

    def ended(self, process: int) -> None:
        """Forget guards and disarm: the program they belong to is gone. One of several may be another one."""
        self.going_on()
        if self._armed_in in (0, process):
            self.guards.forget()
            self._disarm_checks()
        if self._overlaps:
            self._overlaps.ended(process)
        if self._uml and self._uml.process in (None, process):
            self._uml.gone()

    def _gone(self) -> None:
        self.disarm()
        if self._uml:
            self._uml.gone()

    def _report(self, note: Note) -> None:
        self._pending = True
        self.note = note

    def _guarded(self, arm: Callable[[], str]) -> str:
        try:
            return arm()
        except gdb.error as error:
            raise KdbgError(f"cannot arm: {str(error).strip().rstrip('.')}") from None
