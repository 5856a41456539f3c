"""`kdbg got`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..got_command import GotReport
    from ..session import Session

STATUSES = ("resolved", "unrelocated", "lazy", "elsewhere", "undecidable")


@command(
    "got",
    "List the slots that dynamic relocations fill, and whether each holds what it should",
    arguments=(
        Argument("objfile", "only this file: its path, its name or the start of that (default: all)", "objfile"),
        Argument("--symbol", "only slots whose symbol or target matches, `*` and `?` as in a shell", "glob"),
        Argument("--status", "only slots with this status", choices=STATUSES),
        Argument("--section", "only slots in sections that match, `.got*` for instance", "glob"),
        Argument("--copies", "list COPY relocations too, which fill data and no slots", "flag"),
        Argument("--bias", "where OBJFILE is loaded: runtime minus link-time address", "number"),
    ),
    examples=(
        Example("kdbg got libc", "every slot of the C library"),
        Example("kdbg got --status unrelocated", "what the dynamic linker, or your start-up code, has not done yet"),
        Example("kdbg got --symbol 'mem*'", "where calls of memcpy, memset and others go"),
        Example("kdbg got runtime.elf --bias 0x7ffff7fc0000", "a file that the debugger does not know to be loaded"),
        Example("pipe kdbg got | grep elsewhere", "slots that were overwritten or hooked, with where they point now"),
    ),
)
def got(session: Session, options: Namespace) -> GotReport:
    """All dynamic relocations count, in the GOT and out of it: RELATIVE and RELR (vtables, tables of pointers),
    GLOB_DAT, 64, JUMP_SLOT, IRELATIVE and those of thread-local storage.

    A slot is `resolved`; `unrelocated` (it holds what the linker left: 0 or a link-time address); `lazy` (bound at the
    first call); `elsewhere` (another value than any definition of its symbol: the slot was overwritten or hooked, and
    `points to` names by what); or `undecidable` (writable data that the program may have changed, a resolver's choice).
    A line for each file says how far it is relocated as a whole. Without a running program the slots are listed
    as the file has them, with no values and no statuses.
    """
    from ..got_command import Wish, list_slots

    wish = Wish(options.symbol or "", options.status or "", options.section or "", options.copies)
    return list_slots(session, options.objfile, options.bias, wish)
