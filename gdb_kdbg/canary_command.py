"""What `kdbg canary` and `kdbg watch` do with their options."""

from __future__ import annotations

from dataclasses import dataclass

from .canary import CanaryReport, read_canary, require_x86_64
from .errors import KdbgError
from .process import guard_range, process_key
from .ranges import Range
from .session import Session
from .target import Target
from .units import Size

MAXIMUM_WATCH = 4096


@dataclass(frozen=True)
class ArmedReport:
    """What is armed now."""

    done: str
    armed: tuple[str, ...]
    problems: tuple[str, ...] = ()


def check_once(session: Session, frames: bool) -> CanaryReport:
    """Check the guard now."""
    return read_canary(session.target, session.guards, session.settings.get("expected-guard", ""), frames)


def on_system_calls(session: Session) -> ArmedReport:
    """Arm the check around system calls."""
    require_x86_64(session.target)
    settings = session.settings
    done = session.check_system_calls(settings.get("syscall-entry", ""), settings.get("syscall-exit", ""))
    return ArmedReport(f"armed {done}", session.armed())


def disarm(session: Session) -> ArmedReport:
    """Remove everything that is armed."""
    count = session.disarm()
    return ArmedReport(f"removed {count} breakpoints and watchpoints of kdbg", session.armed())


def watch(session: Session, what: str, any_process: bool) -> ArmedReport:
    """Arm a write watchpoint on the guard or on `EXPR[,SIZE]`."""
    target = session.target
    require_x86_64(target)
    name, range = _guard(target) if what == "guard" else _expression(session, what)
    if what == "guard":
        _note_guard(session, target, range)
    done = session.watch(name, range, any_process)
    where = "any process" if any_process else "this process only"
    return ArmedReport(f"armed {done}, {range.size} bytes at {range.start:#x}, {where}", session.armed())


def _guard(target: Target) -> tuple[str, Range]:
    range = guard_range(target)
    if range is None:
        raise KdbgError("fs_base is 0: no thread-local storage yet, so no guard to watch (continue until there is)")
    return "guard", range


def _note_guard(session: Session, target: Target, range: Range) -> None:
    value = int.from_bytes(target.read_memory(range.start, range.size), "little")
    session.guards.note(process_key(target), value)


def _expression(session: Session, what: str) -> tuple[str, Range]:
    expression, separator, size = what.rpartition(",")
    if not separator:
        expression, size = what, "8"
    try:
        length = int(size, 0)
    except ValueError:
        raise KdbgError(f"not a size: {size.strip()!r} (kdbg watch EXPR,SIZE)") from None
    if not 0 < length <= MAXIMUM_WATCH:
        raise KdbgError(f"size must be 1 to {MAXIMUM_WATCH} bytes, not {length}")
    return what, Range(session.evaluate(expression), Size(length))
