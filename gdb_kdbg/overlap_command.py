"""What `kdbg overlap` does with its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Sequence, Union

from .canary import require_x86_64
from .errors import KdbgError
from .overlap_report import OverlapReport
from .session import Session

STOP, LOG, COUNT = "stop", "log", "count"
REPORT = "report"
DEFAULT_ROUTINE = "memcpy"
# Well-known ones that find something else in the registers of destination, source and size.
_OTHERS = frozenset(("strcpy", "stpcpy", "strcat", "strncat", "memset", "memcmp", "bcopy", "bzero", "memccpy"))


@dataclass(frozen=True)
class OverlapArmed:
    """What is armed now."""

    done: str
    armed: tuple[str, ...]
    problems: tuple[str, ...] = ()


class Overlaps(Protocol):
    """What catches overlapping calls in a live program."""

    def arm(self, routines: Sequence[str], mode: str, exact: bool) -> OverlapArmed:
        """Put probes in, or arm breakpoints; raise KdbgError with nothing changed."""
        ...

    def remove(self) -> OverlapArmed:
        """Take out everything, also what another GDB left behind."""
        ...

    def report(self) -> OverlapReport:
        """Sum up what was counted."""
        ...


def overlap(
    session: Session, words: Sequence[str], mode: str, exact: bool, off: bool
) -> Union[OverlapArmed, OverlapReport]:
    """Arm, report or remove; raise KdbgError."""
    session.live_target()
    require_x86_64(session.target)
    if off:
        if words:
            raise KdbgError("--off removes all probes: it takes no routine")
        return session.overlaps().remove()
    if REPORT in words:
        if len(words) > 1:
            raise KdbgError("report is of all routines: it takes no other word")
        return session.overlaps().report()
    for word in _OTHERS.intersection(words):
        raise KdbgError(f"{word} does not take destination, source and size: its calls cannot be judged")
    return session.overlaps().arm(list(dict.fromkeys(words)) or [DEFAULT_ROUTINE], mode, exact)


def mode_of(is_stop: bool, is_log: bool, is_count: bool) -> str:
    """Return the mode of three flags; raise KdbgError for more than one."""
    chosen = [mode for mode, given in ((STOP, is_stop), (LOG, is_log), (COUNT, is_count)) if given]
    if len(chosen) > 1:
        raise KdbgError(f"--{chosen[0]} and --{chosen[1]} exclude each other")
    return chosen[0] if chosen else STOP
