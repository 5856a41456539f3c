"""What `kdbg canary` and `kdbg watch` do with their options."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .canary import CanaryReport, read_canary, require_x86_64
from .errors import KdbgError
from .guest_canaries import GuestCanaries, read_all
from .process import guard_range, process_key
from .ranges import Range
from .session import Session
from .target import Target
from .uml_guest import GuestProcess, running_process
from .units import Size

MAXIMUM_WATCH = 4096


@dataclass(frozen=True)
class ArmedReport:
    """What is armed now."""

    done: str
    armed: tuple[str, ...]
    problems: tuple[str, ...] = ()


def check_once(session: Session, frames: bool) -> CanaryReport:
    """Check the guard now; of a user-mode Linux kernel that of the guest's process which it runs."""
    process = running_process(session.target)
    report = read_canary(process, session.guards, session.settings.get("expected-guard", ""), frames)
    if not isinstance(process, GuestProcess):
        return report
    unsaid = ("the frames of a guest's process are not unwound",) if frames else ()
    return replace(report, process=str(process.task), problems=(*report.problems, *unsaid))


def check_all(session: Session) -> GuestCanaries:
    """Check the guards of all tasks of a guest."""
    return read_all(session.target, session.guards)


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
    if what == "guard":
        target = running_process(target)
    name, range = _guard(target) if what == "guard" else _expression(session, what)
    if what == "guard":
        _note_guard(session, target, range)
    if isinstance(target, GuestProcess):
        return _watch_guest(session, target, range)
    done = session.watch(name, range, any_process)
    where = "any process" if any_process else "this process only"
    return ArmedReport(f"armed {done}, {range.size} bytes at {range.start:#x}, {where}", session.armed())


# The program's own mapping is in another process of the host; the kernel writes through its view of the same page.
def _watch_guest(session: Session, process: GuestProcess, range: Range) -> ArmedReport:
    place = process.translate(range.start)
    if range.start % range.size:
        raise KdbgError(f"the guard at {range.start:#x} is not aligned, so it cannot be watched")
    done = session.watch("guard", Range(place, range.size), False)
    return ArmedReport(
        f"armed {done} at {range.start:#x}, where the kernel has it at {place:#x}",
        session.armed(),
        ("what the program itself writes there is not seen: kdbg canary --syscalls sees it at the next system call",),
    )


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
