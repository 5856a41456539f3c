"""What kdbg recognises of a target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from .errors import KdbgError, SymbolNotFound
from .process import X86_64, guard_range, probe_process
from .ranges import Range
from .registry import commands
from .ring_layout import RingLayout, find_layout
from .session import Session
from .target import Target
from .uml_guest import running_process
from .uml_kernel import banner, find_kernel, is_uml
from .units import Address, Count


@dataclass(frozen=True)
class LoadedFile:
    """An objfile and its load bias."""

    objfile: str
    load_bias: Address


@dataclass(frozen=True)
class CommandLine:
    """A command and what it answers."""

    command: str
    answers: str


@dataclass(frozen=True)
class StatusReport:
    """What kdbg recognised; None stands for what is not there."""

    target: Optional[str]
    architecture: Optional[str]
    process: Optional[str]
    kernel: Optional[str]
    mode: Optional[str]
    tasks: Optional[Count]
    current_task: Optional[str]
    ring: Optional[str]
    guard_address: Optional[Address]
    objfiles: tuple[LoadedFile, ...]
    armed: tuple[str, ...]
    commands: tuple[CommandLine, ...] = field(metadata={"label": "commands"})
    problems: tuple[str, ...] = ()


def recognise(session: Session) -> StatusReport:
    """Say what the target is; without one, say so and list the commands."""
    known = tuple(CommandLine(f"kdbg {command.name}", command.summary) for command in commands())
    try:
        target = session.target
    except KdbgError as error:
        nothing = dict.fromkeys(("target", "architecture", "process", "ring", "guard_address"))
        return StatusReport(
            **nothing, kernel=None, mode=None, tasks=None, current_task=None, objfiles=(), armed=session.armed(),
            commands=known, problems=(str(error),),
        )  # fmt: skip
    problems = list(target.problems)
    # A separate debug file only repeats the file it belongs to.
    shown = (file for file in target.objfiles() if not file.path.endswith(".debug"))
    files = tuple(LoadedFile(file.path, Address(file.load_bias)) for file in shown)
    guard = _guard(target) if target.architecture == X86_64 else None
    state = kernel_state(target)
    problems += state.problems
    return StatusReport(
        target.kind, target.architecture, _process(target), banner(target), state.mode, state.tasks, state.current,
        _ring(session, target, problems), guard.start if guard else None, files, session.armed(), known,
        tuple(problems),
    )  # fmt: skip


# Of a user-mode kernel its guest's; its own is that of the C library it is linked with.
def _guard(target: Target) -> Optional[Range]:
    try:
        return guard_range(running_process(target))
    except KdbgError:
        return None  # a thread of the kernel's own


class KernelState(NamedTuple):
    """How a kernel runs, and what it runs; without anything for a target that is none."""

    mode: Optional[str] = None
    tasks: Optional[Count] = None
    current: Optional[str] = None
    problems: tuple[str, ...] = ()


def kernel_state(target: Target) -> KernelState:
    """Say how many tasks a user-mode kernel has, and which one it runs."""
    if not is_uml(target):
        return KernelState()
    mode = "user-mode Linux"
    try:
        kernel = find_kernel(target)
        assert kernel is not None, "the same was asked before"
        return KernelState(mode, Count(sum(1 for _ in kernel.tasks())), str(kernel.current()))
    except KdbgError as error:
        return KernelState(mode, problems=(str(error),))


def _process(target: Target) -> Optional[str]:
    process = probe_process(target)
    return f"{process.name} (pid {process.pid})" if process else None


def _ring(session: Session, target: Target, problems: list[str]) -> Optional[str]:
    try:
        layout = find_layout(target, session.settings.get("ring-layout", ""))
    except SymbolNotFound:
        return None
    except KdbgError as error:
        problems.append(str(error))
        return None
    return _described(layout)


def _described(layout: RingLayout) -> str:
    return (
        f"{layout.symbol} at {layout.buffer:#x}, {layout.capacity} records of {layout.record_size} bytes "
        f"(capacity from {layout.capacity_from})"
    )
