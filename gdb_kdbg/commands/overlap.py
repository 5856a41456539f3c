"""`kdbg overlap`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..session import Session


@command(
    "overlap",
    "Catch every copy whose destination overlaps its source, at full speed",
    arguments=(
        Argument(
            "routine", "names or addresses (default: memcpy); `report` sums up by call site", "routine", many=True
        ),
        Argument("--stop", "stop at the first overlap of each kind (this is the default)", "flag"),
        Argument("--log", "report the first of each kind and go on", "flag"),
        Argument("--count", "only count, never stop", "flag"),
        Argument("--exact", "a breakpoint at the routine instead of a probe: slow, works over a stub too", "flag"),
        Argument("--off", "take the probe out again", "flag"),
    ),
    examples=(
        Example("kdbg overlap", "then `continue`: stops where memcpy is called with overlapping areas"),
        Example("kdbg overlap memcpy mempcpy --log", "two routines; the program goes on"),
        Example("kdbg overlap report", "how many calls, and which call sites overlap"),
    ),
    live=True,
)  # fmt: skip
def overlap(session: Session, options: Namespace) -> object:
    """Needs a routine with destination, source and size in rdi, rsi, rdx. An overlap is 0 < |distance| < size.

    kdbg maps a little code near the routine and lets the routine's entry jump there; where memmove shares the code, as
    in glibc, the slots that lead to memcpy are redirected. Calls with destination = source are counted apart. A call
    from the same place with the same size and distance is of the same kind: it is counted and not reported again.
    Only the first of a kind stops the program for a moment, by a signal that is ignored without a debugger. All
    overlaps are in the probe's ring (kdbg ring). Where slots are redirected, calls through a pointer that the program
    took before, or by dlsym, are not seen; --exact sees them, and says so where it cannot tell them from memmove's. In
    a user-mode Linux kernel (kdbg connect uml) the routine is the kernel's own, and the guest's task is told. The
    probe goes when GDB detaches or ends, with the bytes compared; if it was killed, the next GDB's --off removes it.
    """
    from ..overlap_command import mode_of
    from ..overlap_command import overlap as run

    mode = mode_of(options.stop, options.log, options.count)
    return run(session, options.routine, mode, options.exact, options.off)
