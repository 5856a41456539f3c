"""`kdbg connect`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..connect_command import Connected
    from ..session import Session


@command(
    "connect",
    "Connect to a running kernel: user-mode Linux, or one in QEMU",
    arguments=(
        Argument("kind", "`uml`, a user-mode Linux kernel on this machine, or `qemu`, a stub", choices=("uml", "qemu"),
                 required=True),
        Argument("where", "uml: the process id, needed if several run; qemu: HOST:PORT (localhost:1234)", "process"),
    ),
    examples=(
        Example("kdbg connect uml", "attaches to the kernel that runs here, and says what it is"),
        Example("kdbg connect uml 4711", "to this one; once more, to load the symbols of new modules"),
        Example("kdbg connect qemu", "the same as `target remote localhost:1234`, with a check that it is a machine"),
    ),
    live=True,
)  # fmt: skip
def connect(session: Session, options: Namespace) -> Connected:
    """A user-mode Linux kernel is many processes: kdbg finds the one to attach to, lets the signals pass that the
    kernel lives by, and switches off the notification of every guest's trap, which makes system calls three times
    slower. Symbols of modules are loaded, now and at later stops, from files beside the kernel's or in
    `set kdbg module-path`. `detach` and `quit` undo all of it.
    """
    from ..connect_command import connect as run

    return run(session, options.kind, options.where or "")
