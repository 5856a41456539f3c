"""`kdbg report`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..report_command import WrittenReport
    from ..session import Session


@command(
    "report",
    "Write the current stop as one HTML page: its verdict, a picture of memory, copies, slots, frames",
    arguments=(
        Argument("--output", "where to write it, instead of to kdbg-report.html", "file", short="-o"),
        Argument("--title", "what to call it; without one its verdict"),
    ),
    examples=(
        Example("kdbg report -o report.html", "at a crash, in __stack_chk_fail, at a watchpoint, or on a core dump"),
        Example("kdbg report -o tty.html --title tty-guard", "a name of your own, for the head of the page"),
    ),
)
def report(session: Session, options: Namespace) -> WrittenReport:
    """The page needs no network and no other file: it can be mailed, and it works without JavaScript.

    It shows what `kdbg why` says, what was asked and what was written around the damaged place, all copies of the ring
    by caller and process, the slots that are not as they should be, the backtrace and the registers. It contains memory
    of the target: look at it before you pass it on. Outside GDB: `kdbg report -o report.html core program`.
    """
    from ..report_command import report_stop

    return report_stop(session, options.output, options.title)
