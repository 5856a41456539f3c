"""`kdbg symbol`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..session import Session


@command(
    "symbol",
    "Name what an address belongs to, or find a symbol by its mangled or demangled name",
    arguments=(
        Argument("what", "an address, a name or a pattern with `*` and `?`; quote what has spaces", "address",
                 required=True),
        Argument("--all", "list every match, up to 1000", "flag"),
    ),
    examples=(
        Example("kdbg symbol $pc", "the function there, also in a stripped file"),
        Example("kdbg symbol std::io::stdio::_print", "a C++ or Rust function by its demangled name"),
        Example("kdbg symbol 'mem*' --all", "every symbol that matches"),
        Example("kdbg symbol 0x55555555a140", "symbol, offset, link-time address, section and source line"),
    ),
)  # fmt: skip
def symbol(session: Session, options: Namespace) -> object:
    """The answer comes from the files and works where the debugger has no symbols: from `.symtab`, `.dynsym`, the
    symbols of the dynamic section, separate debug files, and in stripped code from the bounds of functions in
    `.eh_frame_hdr` (named `sub_<link-time address>`) and from relocations (`puts@plt`).

    Demangled names may come without parameters, return type and outer scopes. What is the name of a symbol counts
    as one; anything else is evaluated as an address expression.
    """
    from ..symbol_command import look_up

    return look_up(session, options.what, options.all)
