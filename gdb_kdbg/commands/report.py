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
    "Write the current stop, or a log, as one HTML page: its verdict, a picture of memory, copies, slots, frames",
    arguments=(
        Argument("log", "a log to make the page of, as `kdbg analyze` reads it, instead of the stop", "log"),
        Argument("--symbols", "of a log: an ELF file for names, or ELF=BIAS; may be given several times", "file",
                 many=True),
        Argument("--output", "where to write it, instead of to kdbg-report.html", "file", short="-o"),
        Argument("--title", "what to call it; without one its verdict"),
    ),
    examples=(
        Example("kdbg report -o report.html", "at a crash, in __stack_chk_fail, at a watchpoint, or on a core dump"),
        Example("kdbg report serial.log -o report.html", "what a log tells, with its lines"),
        Example("kdbg report -o tty.html --title tty-guard", "a name of your own, for the head of the page"),
    ),
)  # fmt: skip
def report(session: Session, options: Namespace) -> WrittenReport:
    """The page needs no network and no other file: it can be mailed, and it works without JavaScript.

    It shows what `kdbg why` says, what was asked and what was written around the damaged place, all copies of the ring
    by caller and process, the slots that are not as they should be, the backtrace and the registers. It contains memory
    of the target: look at it before you pass it on. Outside GDB: `kdbg report -o report.html core program`.

    Of a log it shows what `kdbg analyze` finds, the copies before the damage, and the lines that all of it rests on.
    """
    from ..report_command import report_log, report_stop

    if options.log is not None:
        return report_log(session, options.log, options.symbols, options.output, options.title)
    return report_stop(session, options.output, options.title)
