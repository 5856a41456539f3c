"""`kdbg ring`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..ring import RingReport
    from ..session import Session


@command(
    "ring",
    "Show the trace ring: the last user copies, oldest first",
    arguments=(
        Argument("--last", "show only the last COUNT records", "count"),
        Argument("--around", "show only copies that ended or began within 64 bytes of an address", "address"),
        Argument("--on", "switch the probe on, then show", "flag"),
        Argument("--off", "switch the probe off, then show", "flag"),
        Argument("--clear", "forget all records, then show", "flag"),
    ),
    examples=(
        Example("kdbg ring --last 4", "the four newest copies"),
        Example("kdbg ring --around $fs_base+0x28", "the copies near the stack guard"),
        Example("pipe kdbg ring | grep ioctl", "only those of one context tag"),
    ),
)
def ring(session: Session, options: Namespace) -> RingReport:
    """A record is a copy as it was asked for: destination, source, size, and the caller.

    `guard gap` is the number of bytes between the end of the asked range and the guard at fs:0x28: 0 is adjacent,
    a negative number overlaps. A lost record was overwritten by a later one; a torn one was being written when the
    target stopped. The ring's format is in docs/ring-format.md; other layouts: `help set kdbg ring-layout`.
    """
    from ..ring_command import change_ring, show_ring

    change_ring(session, options.on, options.off, options.clear)
    return show_ring(session, options.last, options.around)
