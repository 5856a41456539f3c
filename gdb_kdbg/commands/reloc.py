"""`kdbg reloc`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..reloc_command import RelocReport
    from ..session import Session


@command(
    "reloc",
    "Find the relocation behind an address: the slot there, or the slots that lead there",
    arguments=(
        Argument(
            "address", "a slot, a function, or a value that looks like a link-time address", "address", required=True
        ),
        Argument("--objfile", "look only into this file", "objfile"),
        Argument("--bias", "where that file is loaded: runtime minus link-time address", "number"),
    ),
    examples=(
        Example("kdbg reloc 0x555555557fd8", "which relocation fills this word, and what should be in it"),
        Example("kdbg reloc $pc", "after a jump to a link-time address: which slots hold it until they are relocated"),
        Example("kdbg reloc memcpy", "which slots lead to a function"),
    ),
)
def reloc(session: Session, options: Namespace) -> RelocReport:
    """Both directions at once: the address as a slot, and as what a slot is to point to; each as a runtime address
    and as a link-time address, as `readelf` shows it. Slots that merely hold the value now are listed too.

    Statuses are those of `kdbg got`.
    """
    from ..reloc_command import explain_address

    return explain_address(session, options.address, options.bias, options.objfile)
