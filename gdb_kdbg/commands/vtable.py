"""`kdbg vtable`."""

from __future__ import annotations

from ..registry import Argument, Example, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from ..session import Session
    from ..vtables import Vtable


@command(
    "vtable",
    "Decode a Rust or C++ vtable: each entry with its function and whether it is relocated",
    arguments=(
        Argument("expression", "a `dyn` value, a C++ object, or an address of a table or object", "address",
                 required=True),
        Argument("--kind", "what the address is, where nothing else tells (stripped files)", choices=("rust", "c++")),
        Argument("--objfile", "the file that --bias is of", "objfile"),
        Argument("--bias", "where that file is loaded: runtime minus link-time address", "number"),
    ),
    examples=(
        Example("kdbg vtable animal", "the table of a `&dyn Animal`, `Box<dyn Animal>`, or of a C++ object or pointer"),
        Example("kdbg vtable 0x5555555a8670", "a table by its address, also a link-time address as `readelf` shows it"),
        Example("kdbg vtable $rdx", "the table that a Rust method call has in a register"),
        Example("kdbg vtable _ZTV5Horse", "the tables of a C++ class, by their symbol"),
    ),
)  # fmt: skip
def vtable(session: Session, options: Namespace) -> Vtable:
    """In Rust: `&dyn`, `Box<dyn>`, `Rc<dyn>`, `Arc<dyn>`, a struct that leads to one of them, or a table's address.
    With debugging information every entry is named; without it the table is recognised by its first three words and
    the symbols. A `drop_in_place` of 0 is normal: the type has nothing to drop.

    In C++: an object, a pointer or reference to one, or the address of an object or table, with the tables of its
    bases, as far as symbols tell; type_info names the class of stripped files.

    Entries have the statuses of `kdbg got`. Before relocation each is named by what its relocation is to put there.
    What cannot be told from other data is an error, not a guess.
    """
    from ..vtable_command import decode_vtable

    return decode_vtable(session, options.expression, options.kind, options.bias, options.objfile)
