"""The guards of all processes of a guest at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .canary import CORRUPTED, UNKNOWN, CanaryReport, read_canary, require_x86_64
from .errors import KdbgError, MemoryFault, NotSupported
from .session import Guards
from .target import Target
from .uml_guest import GuestProcess
from .uml_kernel import Task, UmlKernel, find_kernel
from .units import Address, Count, Word


@dataclass(frozen=True)
class TaskCanary:
    """The guard of one thread of a guest's process, and the verdict on it."""

    pid: Count
    task: str
    guard_address: Optional[Address]
    guard: Optional[Word]
    expected: Optional[Word]
    verdict: str
    expected_from: Optional[str]


@dataclass(frozen=True)
class GuestCanaries:
    """The guards of a guest's tasks; threads of the kernel have none and are only counted."""

    summary: str
    tasks: tuple[TaskCanary, ...]
    problems: tuple[str, ...] = ()


def require_kernel(target: Target) -> UmlKernel:
    """Return the kernel whose tasks are known, or raise NotSupported."""
    require_x86_64(target)
    kernel = find_kernel(target)
    if kernel is None:
        raise NotSupported(
            f"the tasks of this target ({target.kind}) are not known: this needs a user-mode Linux kernel with symbols"
        )
    return kernel


def read_all(target: Target, guards: Guards) -> GuestCanaries:
    """Read and judge the guard of every task; one that cannot be read becomes a problem."""
    kernel = require_kernel(target)
    rows: list[TaskCanary] = []
    problems: list[str] = []
    kernel_threads = 0
    try:
        for task in kernel.tasks():
            kernel_threads += not task.mm
            if task.mm:
                rows.append(_row(kernel, task, guards))
    except (KdbgError, MemoryFault) as error:
        problems.append(f"the list of tasks is damaged behind {len(rows) + kernel_threads} of them: {error}")
    corrupted = sum(row.verdict == CORRUPTED for row in rows)
    summary = (
        f"{len(rows)} tasks with a guard of their own, {corrupted} of them corrupted; "
        f"{kernel_threads} threads of the kernel"
    )
    return GuestCanaries(summary, tuple(rows), tuple(problems))


def _row(kernel: UmlKernel, task: Task, guards: Guards) -> TaskCanary:
    try:
        report: Optional[CanaryReport] = read_canary(GuestProcess(kernel, task), guards)
    except KdbgError:
        report = None
    if report is None:
        return TaskCanary(Count(task.pid), task.name, None, None, None, UNKNOWN, None)
    return TaskCanary(
        Count(task.pid), task.name, report.guard_address, report.guard, report.expected, report.verdict,
        report.expected_from,
    )  # fmt: skip
