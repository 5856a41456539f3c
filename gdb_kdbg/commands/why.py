"""`kdbg why`."""

from __future__ import annotations

from ..registry import Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..finding import WhyReport
    from ..session import Session


@command(
    "why",
    "Explain the current stop: what happened, who is at fault, and on what evidence",
    examples=(
        Example("kdbg why", "at a crash, in __stack_chk_fail, at a watchpoint, in a copy fault, or on a core dump"),
        Example("with kdbg format json -- kdbg why", "the same for a script"),
    ),
)
def why(session: Session, options: Namespace) -> WhyReport:
    """Findings come with their confidence (certain, likely, possible), the evidence, and what to type next.

    Of a damaged guard or canary the verdict is `caller at fault` (a copy was asked for too much, or to the wrong
    place), `routine at fault` (a copy wrote beyond what was asked), `program at fault` (no copy wrote there) or
    `undecidable`, with what would decide it. The routine of a copy that is accused or suspect is exercised in an
    emulator, at that very size and alignment, and what it does there is added.

    Of a call that went nowhere it names the call, the slot it went through (GOT, PLT, vtable, a table of pointers), the
    relocation of that slot and the function it should have reached, and says how far the file is relocated. Explained
    too are an overwritten slot, a null pointer called, a jump to data, a smashed return address, a misaligned vector
    access, and thread-local storage that is not set up. Nothing is found on a healthy stop.
    """
    from ..diagnosis import explain

    return explain(session.scene())
