"""`kdbg` alone: what was recognised."""

from __future__ import annotations

from ..registry import command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..session import Session
    from ..status import StatusReport


@command("status", "Say what kdbg recognised: target, architecture, ring, guard, objfiles, what is armed")
def status(session: Session, options: Namespace) -> StatusReport:
    """The same as `kdbg` alone."""
    from ..status import recognise

    return recognise(session)
