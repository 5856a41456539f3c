"""`kdbg check-copy`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..copy_report import CopyReport
    from ..session import Session

CONTRACTS = (
    "memcpy", "memmove", "mempcpy", "memset", "copy_to_user", "copy_from_user", "copy_user", "copy_to_user_void",
    "copy_from_user_void", "strncpy_from_user",
)  # fmt: skip


@command(
    "check-copy",
    "Run a copy routine in an emulator over every size and alignment, and report what it does wrong",
    arguments=(
        Argument("routine", "its name, or an expression for its address", "routine", required=True),
        Argument("--contract", "what it promises (default: guessed from its name)", choices=CONTRACTS),
        Argument("--args", "where its arguments are: dst=rdi,src=rsi,size=rdx,result=rax (or none)", "registers"),
        Argument("--quick", "a selection of cases, in under half a second", "flag"),
        Argument("--thorough", "all alignments of all sizes", "flag"),
    ),
    examples=(
        Example("kdbg check-copy memcpy", "the code that is in the target now, patches and probes included"),
        Example("kdbg check-copy ucopy --contract copy_user", "with a fault injected at every byte of both sides"),
        Example("kdbg check-copy rep_movs_alternative --contract copy_user --args size=rcx,result=rcx",
                "Linux's user copy, which takes its size in rcx and returns what is left there"),
    ),
)  # fmt: skip
def check_copy(session: Session, options: Namespace) -> CopyReport:
    """The routine's own machine code is run, with all that it calls, on memory made for it; the target is only read.

    Reported are bytes written outside of the destination, missing or wrong, reads into a further page, writes to the
    source or to the caller's stack, changed registers and floating-point state that belong to the caller, flags left
    set, a wrong result, a wrong remainder after a fault, control that leaves the routine or does not return; each with
    the sizes and alignments concerned, the smallest example, and the instruction that did it. AVX and AVX-512
    are run as far as copying and filling need them; any other instruction the emulator does not know is named, and what
    would need it does not count as passed. Outside GDB: kdbg check-copy FILE ROUTINE, also for an object file.
    """
    from ..check_copy_command import check_copy, mode_of

    mode = mode_of(options.quick, options.thorough)
    return check_copy(session, options.routine, options.contract, options.args, mode)
