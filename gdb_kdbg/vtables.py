"""Rust and C++ vtables: which of the two an address is, and every entry with its symbol and relocation.

Nothing is guessed: what could be a table, but could be something else too, is an error that says what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Mapping, Optional, Sequence

from .cpp_vtables import CppTable, cpp_table, group_of
from .demangle import demangle
from .elf import ElfFile
from .relocations import ELSEWHERE, RESOLVED, UNRELOCATED, Verdict
from .rust_vtables import NOTHING_TO_DROP, RustTable, rust_table
from .scope import base_name
from .slot_report import LoadedSlots
from .target import Memory, Objfile
from .units import ADDRESS_MASK, Address, LinkAddress, Word, shown
from .vtable_words import Cell, NotATable, Words, signed

RUST, CPP = "rust", "c++"


@dataclass(frozen=True)
class Entry:
    """One word of a table, `index` words from its address: negative ones stand before it (C++).

    `value` is None where there is no memory, `status` where no relocation fills the word, `expected` where it cannot be
    known.
    """

    index: int
    offset: int = field(metadata={"text": False})
    name: str
    slot_address: Address = field(metadata={"label": "address"})
    value: Optional[Word]
    relocation: str
    expected: Optional[Word] = field(metadata={"unless": ("status", RESOLVED)})
    status: Optional[str]
    demangled: str = field(metadata={"label": "function"})
    symbol: str = field(metadata={"text": False})
    note: str


@dataclass(frozen=True)
class BaseTable:
    """Another table of the same C++ class, for a base within it."""

    address: Address
    offset_to_top: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Vtable:
    """One table; `type_from` says who knows the type, `state` how far the file is relocated where that matters."""

    kind: str
    address: Address
    link_address: Optional[LinkAddress]
    objfile: str
    table: str
    type: str
    trait: str
    type_from: str
    data_pointer: Optional[Address]
    object: Optional[Address] = field(metadata={"label": "complete object"})
    state: str = ""
    entries: tuple[Entry, ...] = ()
    bases: tuple[BaseTable, ...] = ()
    notes: tuple[str, ...] = ()


def find_table(words: Words, address: int, kind: str = "") -> RustTable | CppTable:
    """Return the table at an address; a `kind` that is given is trusted; raise NotATable saying what did not fit."""
    finders: Mapping[str, Callable[..., RustTable | CppTable]] = {CPP: cpp_table, RUST: rust_table}
    failures = []
    for language, finder in finders.items():
        if kind in ("", language):
            try:
                return finder(words, address, bool(kind))
            except NotATable as error:
                failures.append(f"{'Rust' if language == RUST else 'C++'}: {error}")
    raise NotATable("; ".join(failures))


class Reporter:
    """Makes the reports of tables; `memory` is None for bare files."""

    def __init__(self, words: Words, memory: Optional[Memory]) -> None:
        self._words = words
        self._memory = memory
        self._loaded: dict[Objfile, LoadedSlots] = {}

    def report(self, table: RustTable | CppTable, data_pointer: Optional[int], notes: Sequence[str]) -> Vtable:
        """Report a table with all its entries; raise BadFile."""
        holder = self._words.holder(table.address)
        is_rust = isinstance(table, RustTable)
        entries = self._entries(table)
        bases = () if isinstance(table, RustTable) else self._bases(table)
        every = [*entries, *(entry for base in bases for entry in base.entries)]
        top = 0 if isinstance(table, RustTable) else table.offset_to_top
        data = None if data_pointer is None else Address(data_pointer)
        return Vtable(
            RUST if is_rust else CPP,
            Address(table.address),
            LinkAddress((table.address - holder[0].load_bias) & ADDRESS_MASK) if holder else None,
            base_name(holder[0]) if holder else "",
            self._place(table.address, holder),
            shown(table.type),
            shown(table.trait) if isinstance(table, RustTable) else "",
            table.type_from,
            data,
            None if data is None or is_rust else Address((data + top) & ADDRESS_MASK),
            self._state(holder, every),
            entries,
            bases,
            tuple(shown(note) for note in (*notes, *table.notes)),
        )

    def _bases(self, table: CppTable) -> tuple[BaseTable, ...]:
        return tuple(
            BaseTable(Address(other.address), other.offset_to_top, self._entries(other))
            for other in group_of(self._words, table)
        )

    def _place(self, address: int, holder: Optional[tuple[Objfile, ElfFile]]) -> str:
        over = self._words.symbol_over(address)
        if over is None or holder is None:
            return ""
        return shown(demangle(over[0].name)) + (f"+{over[1]:#x}" if over[1] else "")

    def _state(self, holder: Optional[tuple[Objfile, ElfFile]], entries: Sequence[Entry]) -> str:
        if holder is None or self._memory is None or not any(entry.status == UNRELOCATED for entry in entries):
            return ""
        return self._slots(*holder).state()

    def _slots(self, objfile: Objfile, elf: ElfFile) -> LoadedSlots:
        if objfile not in self._loaded:
            self._loaded[objfile] = LoadedSlots(self._words.scope, objfile, elf, self._memory)
        return self._loaded[objfile]

    def _entries(self, table: RustTable | CppTable) -> tuple[Entry, ...]:
        names = dict(enumerate(table.names)) if isinstance(table, RustTable) else table.names
        return tuple(self._entry(self._words.cell(table.address + 8 * i), i, name) for i, name in names.items())

    def _entry(self, cell: Cell, index: int, name: str) -> Entry:
        holder = self._words.holder(cell.address)
        verdict: Optional[Verdict] = None
        if cell.slot is not None and holder is not None and self._memory is not None:
            verdict = self._slots(*holder).verdict(cell.slot, cell.word)
        value = None if cell.slot is not None and self._memory is None else cell.word
        expected = verdict.expected if verdict else cell.target if cell.slot is not None else None
        symbol = self._symbol(cell, holder[0] if holder else None)
        return Entry(
            index,
            8 * index,
            name,
            Address(cell.address),
            None if value is None else Word(value),
            cell.slot.relocation if cell.slot is not None else "",
            None if expected is None else Word(expected),
            verdict.status if verdict else None,
            shown(demangle(symbol)),
            shown(symbol),
            shown(self._note(cell, name, verdict, holder[0] if holder else None)),
        )

    def _supertrait(self, address: int) -> str:
        try:
            table = rust_table(self._words, address)
        except NotATable:
            return ""
        return f"table of {table.type or '?'} as {table.trait or '?'}"

    def _symbol(self, cell: Cell, objfile: Optional[Objfile]) -> str:
        names = self._words.names(cell)
        if names:
            return names[0]
        is_pointer = cell.slot is not None or self._words.is_code(cell)
        return self._words.scope.place(cell.target, objfile) if cell.target and is_pointer else ""

    def _note(self, cell: Cell, name: str, verdict: Optional[Verdict], objfile: Optional[Objfile]) -> str:
        if verdict is not None and verdict.status == ELSEWHERE and cell.word is not None:
            return f"leads to {self._words.scope.place(cell.word, objfile) or f'{cell.word:#x}'} instead"
        if name.startswith("super_trait_ptr") and cell.target:
            return self._supertrait(cell.target)
        if cell.slot is not None or cell.word is None:
            return verdict.note if verdict else ""
        if name == "drop_in_place" and not cell.word:
            return NOTHING_TO_DROP
        if name in ("size", "align", "offset-to-top", "virtual-offset"):
            return f"{signed(cell.word)}"
        if name == "rtti" and not cell.word:
            return "compiled without RTTI"
        if name.startswith("function") and not cell.word:
            return "0: never called through this table"
        return ""
