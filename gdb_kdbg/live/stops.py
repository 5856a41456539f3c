"""What kdbg arms in GDB: write watchpoints and the checks around system calls, and the story told when one stops."""

from __future__ import annotations

from typing import Callable, Optional

import gdb

from ..copies import NO_COPY, Coverage
from ..errors import KdbgError, MemoryFault
from ..process import page_table_root, probe_process
from ..ranges import Range
from ..scene import Note, Scene, WatchedWrite
from ..syscalls import ENTRY, EXIT, GuardChange, SystemCallChecker, SystemCallPath, entering_call
from ..units import Size
from ..watching import WriteFilter
from .interrupt import InterruptWatcher
from .target import GdbTarget

# Called by a stop that kdbg wants, with what is to be told of it.
Report = Callable[[Note], None]
CHECK_FUNCTION = "_kdbg_guard_changed"
_ENOSYS = (-38) & (1 << 64) - 1


class WriteWatch(gdb.Breakpoint):
    """A hardware write watchpoint on a range, filtered by process."""

    def __init__(self, target: GdbTarget, what: str, filter: WriteFilter, report: Report) -> None:
        range = filter.range
        super().__init__(
            f"*(unsigned char (*)[{range.size}]) {range.start:#x}", type=gdb.BP_WATCHPOINT, wp_class=gdb.WP_WRITE
        )
        if self.type != gdb.BP_HARDWARE_WATCHPOINT:
            self.delete()
            raise KdbgError(
                f"no hardware watchpoint for {range.size} bytes at {range.start:#x} (natively at most 8 aligned bytes)"
            )
        self.what = what
        self.filter = filter
        self._target = target
        self._report = report

    def stop(self) -> bool:
        try:
            value = self._target.read_memory(self.filter.range.start, self.filter.range.size)
            news = self.filter.is_news(value)
        except (KdbgError, KeyboardInterrupt):
            return True  # cannot be judged: better stop than miss it; and Ctrl-C means stop
        if news:
            write = WatchedWrite(self.what, self.filter.range, self.filter.before, value)
            self._report(Note(watched=None if self.filter.is_guard else write))
        return news

    def describe(self) -> str:
        return f"{self.number}: watchpoint on {self.what}"


class SystemCallCheck(gdb.Breakpoint):
    """A breakpoint at an entry or exit of the system-call path, which checks the guard and goes on."""

    def __init__(
        self,
        target: GdbTarget,
        address: int,
        point: str,
        checker: SystemCallChecker,
        report: Report,
        interrupt: InterruptWatcher,
    ) -> None:
        super().__init__(f"*{address:#x}")
        self.point = point
        self._target = target
        self._checker = checker
        self._report = report
        self._interrupt = interrupt

    def stop(self) -> bool:
        if self._interrupt.pressed():
            return True
        try:
            call = entering_call(self._target) if self.point == ENTRY else None
            change = self._checker.check(self._target, self.point, call)
        except KeyboardInterrupt:
            return True
        if change is not None:
            self._report(_note(change))
        return change is not None

    def describe(self) -> str:
        return f"{self.number}: guard check at system-call {self.point} ({self.location})"


class NativeCheck(gdb.Function):
    """The condition of a `catch syscall`: GDB's catchpoints have no Python class, but they have conditions."""

    def __init__(self, target: GdbTarget, checker: SystemCallChecker, report: Report) -> None:
        super().__init__(CHECK_FUNCTION)
        self._target = target
        self._checker = checker
        self._report = report

    def invoke(self, *args: gdb.Value) -> bool:
        # At an entry Linux shows -ENOSYS in rax and the number in orig_rax (Linux ptrace(2), PTRACE_SYSCALL).
        entering = self._target.register("rax") == _ENOSYS
        call = entering_call(self._target) if entering else None
        change = self._checker.check(self._target, ENTRY if entering else EXIT, call)
        if change is not None:
            self._report(_note(change))
        return change is not None


def _note(change: GuardChange) -> Note:
    if change.copies_before is not None:
        return Note(change.lines(), intact_at=change.copies_before)
    # Without a ring there are no copies to look at, but the kernel makes them in system calls.
    outside = Coverage(True, "the guard changed while no system call was in progress", NO_COPY)
    return Note(change.lines(), None if change.in_call else outside)


class Armed:
    """Everything kdbg has armed in this GDB."""

    def __init__(self, target: GdbTarget) -> None:
        self._target = target
        self._breakpoints: list[gdb.Breakpoint] = []
        self._catchpoint: Optional[int] = None
        self._interrupt = InterruptWatcher()

    def stopped(self) -> None:
        """Forget an interrupt: the target has stopped."""
        self._interrupt.pressed()

    def watch(self, what: str, range: Range, any_process: bool, scene: Callable[[], Scene], report: Report) -> str:
        root = page_table_root(self._target)
        value = self._target.read_memory(range.start, range.size)
        process = probe_process(self._target)
        pid = process.pid if process and not any_process else None
        filter = WriteFilter(range, None if any_process else root, pid, what == "guard", scene)
        filter.arm(root, value)
        point = WriteWatch(self._target, what, filter, report)
        self._breakpoints.append(point)
        return point.describe()

    def check_path(self, path: SystemCallPath, checker: SystemCallChecker, report: Report) -> str:
        places = [(address, ENTRY) for address in path.entries] + [(address, EXIT) for address in path.exits]
        made: list[SystemCallCheck] = []
        try:
            for address, point in places:
                made.append(SystemCallCheck(self._target, address, point, checker, report, self._interrupt))
        except gdb.error:
            for check in made:
                check.delete()
            raise
        self._breakpoints += made
        self._interrupt.start()
        return "; ".join(check.describe() for check in made)

    def watch_guest(self, range: Range, scene: Callable[[], Scene], report: Report) -> str:
        from .uml_stops import watch_guest

        point = watch_guest(self._target, range, scene, report)
        self._breakpoints.append(point)
        return point.describe()

    def check_guests(self, checker: SystemCallChecker, report: Report) -> str:
        from .uml_stops import guest_checks

        made = guest_checks(self._target, checker, report, self._interrupt)
        self._breakpoints += made
        self._interrupt.start()
        return "; ".join(check.describe() for check in made)

    def check_native(self, checker: SystemCallChecker, report: Report) -> str:
        NativeCheck(self._target, checker, report)
        gdb.execute("catch syscall", to_string=True)
        number = int(gdb.parse_and_eval("$bpnum"))
        self._catchpoint = number
        gdb.execute(f"condition {number} ${CHECK_FUNCTION}()", to_string=True)
        return f"{number}: guard check at every system call (catch syscall)"

    def describe(self) -> tuple[str, ...]:
        self._breakpoints = [point for point in self._breakpoints if point.is_valid()]
        lines = [point.describe() for point in self._breakpoints if isinstance(point, (WriteWatch, SystemCallCheck))]
        if self._catchpoint is not None:
            lines.append(f"{self._catchpoint}: guard check at every system call (catch syscall)")
        return tuple(lines)

    def has_checks(self) -> bool:
        return self._catchpoint is not None or any(
            point.is_valid() and isinstance(point, SystemCallCheck) for point in self._breakpoints
        )

    def disarm(self) -> int:
        """Delete everything; each by itself, so that one that is gone already does not keep the others."""
        count = 0
        self._interrupt.stop()
        for point in self._breakpoints:
            if point.is_valid():
                point.delete()
                count += 1
        self._breakpoints.clear()
        if self._catchpoint is not None:
            try:
                gdb.execute(f"delete {self._catchpoint}", to_string=True)
                count += 1
            except gdb.error:
                pass  # the user deleted it
            self._catchpoint = None
        return count


def readable(target: GdbTarget, range: Range) -> None:
    """Raise KdbgError unless the range can be read now, so that nothing is armed on a wrong address."""
    try:
        target.read_memory(range.start, Size(range.size))
    except MemoryFault as fault:
        raise KdbgError(f"cannot watch: {fault}") from None
