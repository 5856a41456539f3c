"""`kdbg events`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..events_command import EventStream
    from ..session import Session


@command(
    "events",
    "Show the events `DBG {...}` of a serial log in the manner of strace, also while it grows",
    arguments=(
        Argument("log", "a file (also gzip, xz, zstd), `-`, `unix:PATH`, `HOST:PORT` or `/dev/pts/N`", "file",
                 required=True),
        Argument("--type", "only these: types, or syscall, signal, fault, process, canary, usercopy, panic, profile",
                 suggested=("syscall", "signal", "fault", "process", "canary", "usercopy", "panic", "profile")),
        Argument("--pid", "only those about a process", "count"),
        Argument("--since", "from a console time on (12.5, 16:05:42, 2026-11-21T16:05:42), or the last 5s, 200ms, 2m"),
        Argument("--last", "only the last COUNT of them", "count"),
        Argument("--follow", "go on with what is written from now on, until Ctrl-C", "flag"),
    ),
    examples=(
        Example("kdbg events serial.log --type syscall,signal --pid 3", "what one process did"),
        Example("kdbg events serial.log --last 20 --follow", "the newest twenty and all that come; the target may run"),
        Example("kdbg events unix:/run/vm/serial --type panic,fault", "a running guest's serial line"),
        Example("kdbg events crash.log.gz --since 200ms", "the last fifth of a second of a log with times"),
    ),
)  # fmt: skip
def events(session: Session, options: Namespace) -> EventStream:
    """A line may have a time, colours or a prompt before its event, hold two events, be torn, or be broken into by
    another line; numbers may be bare hex, names may have quotes that nobody escaped. What had to be repaired and what
    is missing stands behind the event; lines that cannot be read, numbers missing in the sequence and restarts are
    counted at the end.

    A system call's entry and exit stand in one line if they follow each other. Addresses of code get their names:
    inside GDB from the loaded files, outside from ELF files named behind the log. With JSON there is one object per
    event, and a last one with the counts. Inside GDB the target is neither read nor stopped; start it with
    `continue &` to follow it, and see what stopped it after Ctrl-C.
    """
    from ..events_command import show_events

    return show_events(session, options)
