"""`kdbg analyze`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..analyze_command import AnalysisStream
    from ..session import Session


@command(
    "analyze",
    "Analyze logs: who damaged what, which copy faulted, which crash this is, and on what evidence",
    arguments=(
        Argument("logs", "files (also gzip, xz, zstd), directories, patterns, `-`", "file", required=True, many=True),
        Argument("--symbols", "an ELF file for names, ELF=BIAS if it was moved; may be given several times", "file",
                 many=True),
    ),
    examples=(
        Example("kdbg analyze serial.log", "inside GDB the loaded files give names, unless --symbols does"),
        Example("kdbg analyze logs/*.gz --symbols build/kernel.elf", "many logs, one after the other"),
        Example("kdbg analyze crash.dump", "what a kernel left in memory for the next boot (u32 0xdeadbeee, u32 size)"),
    ),
)  # fmt: skip
def analyze(session: Session, options: Namespace) -> AnalysisStream:
    """Serial logs, files of events alone and crash dumps of text are read in one pass and in bounded memory; what is
    no text is named and left out.

    From the events `DBG {...}` of a kernel come findings: a changed stack guard with the copy that did it and the same
    verdict as `kdbg why` gives on the machine, copy faults with their phase and tag, calls and accesses through null
    pointers, accesses where nothing is mapped, panics, fatal signals, addresses of the kernel that got out, calls that
    fail again and again (64 times in a row, but for what a search along PATH or polling meets), and missing system
    calls. From a Linux kernel's text come its crashes: title, type, guilty function and stack. Nothing is found in the
    log of a healthy run.

    The outside program ends with 3 if something was found in any log, else with 1 if one could not be read (whole),
    else with 0. With JSON there is one object a log, as soon as it is read.
    """
    from ..analyze_command import analyze_logs

    return analyze_logs(session, options.logs, options.symbols)
