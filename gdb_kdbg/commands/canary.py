"""`kdbg canary`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..session import Session


@command(
    "canary",
    "Check the stack guard at fs:0x28, now or around every system call",
    arguments=(
        Argument("--frames", "check the canaries saved in each stack frame too", "flag"),
        Argument("--syscalls", "check the guard at every system-call entry and exit from now on", "flag"),
        Argument("--all", "check the guard of every task of a user-mode Linux guest", "flag"),
        Argument("--off", "remove everything kdbg has armed", "flag"),
    ),
    examples=(
        Example("kdbg canary", "the guard of the running thread and the verdict on it"),
        Example("kdbg canary --frames", "and which frame's canary is damaged"),
        Example("kdbg canary --syscalls", "then `continue`: stops at the first guard that changes, with the culprit"),
    ),
)
def canary(session: Session, options: Namespace) -> object:
    """The verdict is `intact`, `corrupted`, `unset` (no thread-local storage, or 0) or `unknown` (nothing to
    compare with).

    The expected value is the one given with `set kdbg expected-guard`, else the kernel's own record (the probe kit),
    else derived from AT_RANDOM, else from canaries saved in frames, else the first value seen; the output says which.
    With --syscalls the check is made per process, since the same address in another process is another guard.

    Of a user-mode Linux kernel it is the guard of the guest's process which the kernel runs now, found by its saved
    registers and the kernel's own page tables.
    """
    from ..canary_command import check_all, check_once, disarm, on_system_calls

    if options.off:
        return disarm(session)
    if options.syscalls:
        return on_system_calls(session)
    if options.all:
        return check_all(session)
    return check_once(session, options.frames)
