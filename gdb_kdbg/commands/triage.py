"""`kdbg triage`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..session import Session
    from ..triage_report import TriageReport


@command(
    "triage",
    "Group the crashes in many logs by type and guilty function, with counts, first and last time and examples",
    arguments=(
        Argument("logs", "directories (with all below them), globs, files, or `s3://BUCKET/PREFIX`", "file",
                 required=True, many=True),
        Argument("--jobs", "how many processes read; one for each processor if not said, always one inside GDB",
                 "count"),
        Argument("--dask", "the scheduler of a Dask cluster that is to read, as HOST:PORT"),
        Argument("--resume", "keep in this file what was read, and read only what is new or changed", "file"),
    ),
    examples=(
        Example("kdbg triage crashes/", "all files below a directory, also gzip, xz and zstd"),
        Example("kdbg triage 'ci/*/serial.log' --resume triage.state", "every night: only the new ones are read"),
        Example("kdbg triage s3://fleet/consoles/ --dask scheduler:8786", "on a cluster, from an object store"),
    ),
)  # fmt: skip
def triage(session: Session, options: Namespace) -> TriageReport:
    """The first crash of each log counts. Crashes belong together if they have one guilty function and their types are
    the same, or are what different checks say of one mistake: a sanitizer's report, a general protection fault and a
    page fault are all a bad access. Those without a guilty function are told apart by their titles. JSON has for each
    group the types, titles and stacks with their counts.

    Of a log without oops text the gravest finding on its events counts, as `kdbg analyze` tells it: its rule is the
    type, and guilty is the function, or else the program, system call or tag of the copy that stands for it.

    The times are UTC: those that the console itself wrote as dates, else when the files were last written. Files that
    are binary, damaged, or cannot be read are counted, and the first of them named; the others are read all the same.
    Ctrl-C shows what was read until then. The processes of a cluster need kdbg, and the logs under the same names.
    """
    from ..triage_command import triage_logs

    return triage_logs(session, options)
