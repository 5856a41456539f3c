"""The checks of guests' guards in a user-mode Linux kernel, and the watchpoint on one."""

from __future__ import annotations

import os
from typing import Callable, Optional, Sequence

import gdb

from ..disassembly import decode
from ..errors import KdbgError, MemoryFault
from ..ranges import Range
from ..scene import GuestWrite, Note, Scene
from ..syscalls import ENTRY, EXIT, GuardChange, SystemCallChecker
from ..target import Memory
from ..uml_guest import GuestProcess
from ..uml_kernel import Task, UmlKernel, find_kernel
from ..uml_syscalls import HANDLER, Progress, call_of, note_guards, skipping, uml_path
from ..units import Address, Size, Word
from ..watching import WriteFilter
from .interrupt import InterruptWatcher
from .stops import Report, SystemCallCheck, WriteWatch
from .target import GdbTarget


class ProcessMemory:
    """The memory of a process without GDB in between, which would take five times as long."""

    def __init__(self, process: int) -> None:
        self._file = open(f"/proc/{process}/mem", "rb", buffering=0)  # noqa: SIM115 (open as long as this lives)

    def read_memory(self, address: Address, size: Size) -> bytes:
        try:
            data = os.pread(self._file.fileno(), size, address)
        except (OSError, OverflowError):
            raise MemoryFault(address, size) from None
        if len(data) != size:
            raise MemoryFault(address, size)
        return data


def fast_kernel(target: GdbTarget) -> UmlKernel:
    """Return the kernel that the target is, read quickly where it runs on this machine."""
    memory: Optional[Memory] = None
    try:
        if target.kind == "native":
            memory = ProcessMemory(gdb.selected_inferior().pid)
    except OSError as error:
        raise KdbgError(f"cannot read the memory of the kernel's process: {error.strerror}") from None
    kernel = find_kernel(target, memory)
    assert kernel is not None, "asked for before"
    return kernel


class GuestCheck(SystemCallCheck):
    """A breakpoint on the system-call path of a user-mode kernel, which checks the current process's guard."""

    def __init__(
        self,
        target: GdbTarget,
        kernel: UmlKernel,
        address: Address,
        point: str,
        checker: SystemCallChecker,
        report: Report,
        interrupt: InterruptWatcher,
        progress: Progress,
    ) -> None:
        super().__init__(target, address, point, checker, report, interrupt)
        self._kernel = kernel
        self._progress = progress
        self._skip = skipping(next(iter(decode(target.read_memory(address, Size(15)), address, 1)), None))

    def stop(self) -> bool:
        if self._interrupt.pressed():
            return True
        try:
            task = self._kernel.current()
            change = self._check(task) if task.mm else None
            if change is not None:
                self._report(_note(task, change))
            elif self._progress.is_repeated(self.point, task.address):
                self._go_on()
        except KeyboardInterrupt:
            return True
        except KdbgError:
            return False  # a structure that is being changed or damaged; the next check may read it
        return change is not None

    def _check(self, task: Task) -> Optional[GuardChange]:
        call = call_of(task) if self.point == ENTRY else None
        return self._checker.check(GuestProcess(self._kernel, task), self.point, call)

    # A round trip through GDB that takes longer than a tick of the kernel's clock would never get past the breakpoint.
    def _go_on(self) -> None:
        for expression in self._skip:
            gdb.parse_and_eval(expression)


def _note(task: Task, change: GuardChange) -> Note:
    place = (task.register("fs_base") or 0) + 0x28
    write = GuestWrite(
        task.name, task.process, Address(place), change.before, change.after, change.in_call, change.during,
        change.previous,
    )  # fmt: skip
    return Note(change.lines(), guest=write)


class GuestWatch(WriteWatch):
    """A watchpoint where the kernel has the guard of one guest's process."""

    def __init__(self, target: GdbTarget, process: GuestProcess, filter: WriteFilter, report: Report) -> None:
        super().__init__(target, f"guard of {process.task}", filter, report)
        self._kernel = process.kernel
        self._task = process.task
        self._guard = Address((process.register("fs_base") or 0) + 0x28)

    def stop(self) -> bool:
        try:
            if not self._is_still_there():
                return False
            value = self._target.read_memory(self.filter.range.start, self.filter.range.size)
            news = self.filter.is_news(value)
        except (KdbgError, KeyboardInterrupt):
            return True
        if news:
            self._tell(value)
        return news

    # The page of a process that has ended or got a new program serves others.
    def _is_still_there(self) -> bool:
        current = self._kernel.current()
        if current.mark != self._task.mark:
            found = (task for task in self._kernel.tasks() if task.address == self._task.address)
            current = next(found, current)
        if current.mark != self._task.mark or not current.mm:
            return False
        try:
            return GuestProcess(self._kernel, current).translate(self._guard) == self.filter.range.start
        except MemoryFault:
            return False

    def _tell(self, value: bytes) -> None:
        current = self._kernel.current()
        in_call = any(
            place is not None and place.function == HANDLER
            for place in (self._target.location(frame.code_address) for frame in self._target.frames(64))
        )
        before, after = (Word(int.from_bytes(data, "little")) for data in (self.filter.before, value))
        call = call_of(current) if in_call else None
        place = self.filter.range.start
        line = () if current.mark == self._task.mark else (f"the kernel runs {current}",)
        write = GuestWrite(
            self._task.name, self._task.process, self._guard, before, after, True, call, None, place
        )  # fmt: skip
        self._report(Note(line, guest=write))


def watch_guest(target: GdbTarget, range: Range, scene: Callable[[], Scene], report: Report) -> GuestWatch:
    """Arm a watchpoint on the guard of the process that the kernel runs; `range` is where the kernel has it."""
    kernel = fast_kernel(target)
    process = GuestProcess(kernel, kernel.current())
    filter = WriteFilter(range, None, None, True, scene)
    filter.arm(0, target.read_memory(range.start, range.size))
    return GuestWatch(target, process, filter, report)


def guest_checks(
    target: GdbTarget, checker: SystemCallChecker, report: Report, interrupt: InterruptWatcher
) -> Sequence[SystemCallCheck]:
    """Arm the checks on the system-call path; all of them or none."""
    kernel = fast_kernel(target)
    path, progress = uml_path(kernel), Progress()
    note_guards(kernel, checker)
    places = [(address, ENTRY) for address in path.entries] + [(address, EXIT) for address in path.exits]
    made: list[SystemCallCheck] = []
    try:
        for address, point in places:
            made.append(GuestCheck(target, kernel, address, point, checker, report, interrupt, progress))
    except gdb.error:
        for check in made:
            check.delete()
        raise
    return made
