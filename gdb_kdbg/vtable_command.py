"""What `kdbg vtable` does with its argument: from an expression or an address to a table."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional

from .cpp_vtables import CppTable
from .errors import KdbgError
from .file_target import FileTarget
from .rust_vtables import RustTable
from .selection import select
from .session import Session
from .units import ADDRESS_MASK, Address
from .vtable_words import FAT_POINTER, OBJECT, Cell, NotATable, VtablePointer, Words
from .vtables import CPP, RUST, Reporter, Vtable, find_table


class _Found(NamedTuple):
    table: RustTable | CppTable
    data_pointer: Optional[int]
    notes: tuple[str, ...] = ()


def decode_vtable(
    session: Session, expression: str, kind: Optional[str], bias: Optional[str] = None, objfile: Optional[str] = None
) -> Vtable:
    """Decode the table that an expression leads to; raise KdbgError where there is none, or none that is sure."""
    pointer = session.vtable_pointer(expression)
    chosen = select(session, objfile, bias)
    # Files are read where --bias puts them.
    words = Words(chosen.scope, chosen.memory or FileTarget([file for file, _ in chosen.scope.files]))
    found = _find(words, pointer, kind or "")
    return Reporter(words, chosen.memory).report(found.table, found.data_pointer, found.notes)


def _find(words: Words, pointer: VtablePointer, kind: str) -> _Found:
    if pointer.how == FAT_POINTER:
        return _fat_pointer(words, pointer)
    if pointer.how == OBJECT:
        slot = words.cell(pointer.slot_address) if pointer.slot_address is not None else None
        address, notes = _meant(words, pointer.address, slot)
        found = _object(words, address, kind or CPP, pointer.type)
        return found._replace(notes=(*notes, *found.notes))
    try:
        table, note = _table(words, pointer.address, kind)
        return _Found(table, None, note)
    except NotATable as error:
        try:
            return _object(words, pointer.address, kind, "")
        except NotATable:
            raise KdbgError(f"no vtable at {pointer.address:#x}: {error}") from None


def _fat_pointer(words: Words, pointer: VtablePointer) -> _Found:
    slot = words.cell(pointer.slot_address) if pointer.slot_address is not None else None
    address, notes = _meant(words, pointer.address, slot)
    what = pointer.type or "the fat pointer"
    if not address:
        raise KdbgError(f"the vtable pointer of {what} is 0: not set yet, or not relocated and not a static one")
    try:
        table, more = _table(words, address, RUST)
    except NotATable as error:
        raise KdbgError(f"{what} leads to {address:#x}, where no vtable is: {error}") from None
    return _Found(table, pointer.data_pointer, (*notes, *more))


# A pointer that a relocation is to fill tells its table before it is filled.
def _meant(words: Words, value: int, slot: Optional[Cell]) -> tuple[int, tuple[str, ...]]:
    if slot is None or slot.slot is None or not slot.target or value == slot.target:
        return value, ()
    if value in (0, slot.slot.initial, slot.slot.addend & ADDRESS_MASK):
        note = f"the pointer at {slot.address:#x} is not relocated: it holds {value:#x}, and is to hold"
        return slot.target, (f"{note} {slot.target:#x}",)
    return value, ()


def _object(words: Words, address: int, kind: str, type_name: str) -> _Found:
    what = f"the {type_name} at {address:#x}" if type_name else f"{address:#x}"
    if not address or address % 8:
        raise NotATable("a null pointer" if not address else f"{address:#x} is not a multiple of 8, so no object")
    first = words.cell(address)
    if first.word is None:
        raise NotATable(f"{what} cannot be read")
    meant, notes = _meant(words, first.word, first)
    if not meant:
        raise NotATable(f"the vptr of {what} is 0: not constructed yet, or taken from a slot that was not relocated")
    try:
        table, more = _table(words, meant, kind or CPP)
    except NotATable as error:
        raise NotATable(f"the vptr of {what} is {meant:#x}, where no vtable is: {error}") from None
    return _Found(table, address, (*notes, *more))


# Where no file is at an address, it may be a link-time address, of each file that has a table there.
def _table(words: Words, address: int, kind: str) -> tuple[RustTable | CppTable, tuple[str, ...]]:
    if words.holder(address) is not None:
        return find_table(words, address, kind), ()
    found, failure = [], NotATable("")
    for moved in _as_link_address(words, address):
        try:
            found.append(find_table(words, moved, kind))
        except NotATable as error:
            failure = error
    if len(found) == 1:
        return found[0], (f"{address:#x} is a link-time address: the table is at {found[0].address:#x}",)
    if found:
        places = ", ".join(f"{table.address:#x}" for table in found[:5])
        raise NotATable(f"as a link-time address it is that of several tables: {places}")
    if str(failure):
        raise failure
    return find_table(words, address, kind), ()


def _as_link_address(words: Words, address: int) -> Iterator[Address]:
    for objfile, elf in words.scope.files:
        if objfile.load_bias and any(s.address <= address < s.end for s in elf.loaded):
            yield Address((address + objfile.load_bias) & ADDRESS_MASK)
