"""`kdbg watch`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..canary_command import ArmedReport
    from ..session import Session


@command(
    "watch",
    "Watch the guard or a range, and tell the story of the write that changes it",
    arguments=(
        Argument("what", "`guard`, or EXPRESSION[,SIZE] (an address and a number of bytes, 8 if not given)", "address"),
        Argument("--any-process", "do not filter by process", "flag"),
    ),
    examples=(
        Example("kdbg watch guard", "then `continue`: stops at the first write that damages this process's guard"),
        Example("kdbg watch &tty.session,4", "any write to a variable, in this process"),
    ),
    live=True,
)
def watch(session: Session, options: Namespace) -> ArmedReport:
    """A hardware watchpoint, filtered by the page tables (CR3) of the process that runs now.

    Its report names the instruction, the copy routine and its phase, what was asked and what was written, the caller
    and its context tag. A repeated string store is reported once, not once an iteration; the first value of a guard is
    no corruption. A write that leaves every byte as it was is not seen by the hardware watchpoints of GDB.

    In a user-mode Linux kernel `guard` is that of the guest's process which it runs now. Seen is what the kernel writes
    there; the program's own writes are made in another process, and a page that is copied after a fork is another page.
    """
    from ..canary_command import watch as arm

    return arm(session, options.what or "guard", options.any_process)
