"""What kdbg recognises of a target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from .errors import KdbgError, SymbolNotFound
from .process import X86_64, guard_range, probe_process
from .registry import commands
from .ring_layout import RingLayout, find_layout
from .session import Session
from .target import Target
from .units import Address


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
        return StatusReport(None, None, None, None, None, (), session.armed(), known, (str(error),))
    problems = list(target.problems)
    # A separate debug file only repeats the file it belongs to.
    shown = (file for file in target.objfiles() if not file.path.endswith(".debug"))
    files = tuple(LoadedFile(file.path, Address(file.load_bias)) for file in shown)
    guard = guard_range(target) if target.architecture == X86_64 else None
    return StatusReport(
        target.kind, target.architecture, _process(target), _ring(session, target, problems),
        guard.start if guard else None, files, session.armed(), known, tuple(problems),
    )  # fmt: skip


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
