"""The words of a table of pointers: what is there, which relocation fills it, and what it is to point to.

What a word is to point to is known before relocation too, and when somebody overwrote it; so tables are recognised by
what their words are meant to be. Memory is read by the page.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from .blocks import read_available
from .elf import ElfFile
from .errors import KdbgError
from .function_starts import function_at
from .relocations import Judge
from .scope import Scope
from .slots import COPY, PlannedSlot, has_slots, slot_at
from .symbol_table import ElfSymbol
from .target import Memory, Objfile
from .units import ADDRESS_MASK, Address, Size

_PAGE = 4096
_SIGN = 1 << 63


class NotATable(KdbgError):
    """The words at an address do not make a table of the kind that was looked for; the text says which does not fit."""


class VtablePointer(NamedTuple):
    """What an expression says of a table: `how` is one of the words below, `address` is meant accordingly.

    `type` is the static type, empty for a bare address; `slot_address` is where the address is kept, if anywhere.
    """

    how: str
    address: Address
    data_pointer: Optional[Address] = None
    type: str = ""
    slot_address: Optional[Address] = None


# A Rust fat pointer (`address` is the table's), a C++ object (`address` is its own), or nobody knows what of.
FAT_POINTER, OBJECT, ADDRESS = "fat pointer", "object", "address"


class Cell(NamedTuple):
    """One word of 8 bytes. `target` is the address it is to hold, None for a number or where no file defines it."""

    address: int
    word: Optional[int]
    slot: Optional[PlannedSlot]
    target: Optional[int]

    @property
    def is_zero(self) -> bool:
        return self.slot is None and self.word == 0


class Words:
    """The words of a target, each with its relocation."""

    def __init__(self, scope: Scope, memory: Memory) -> None:
        self.scope = scope
        self._memory = memory
        self._pages: dict[int, tuple[int, bytes]] = {}
        self._judges: dict[Objfile, Judge] = {}

    def holder(self, address: int) -> Optional[tuple[Objfile, ElfFile]]:
        """Return the file that has an address in a loaded segment."""
        return next(iter(self.scope.symbols.holders(address)), None)

    def cell(self, address: int) -> Cell:
        """Return the word at an address, with a `word` of None if it cannot be read; raise BadFile."""
        address &= ADDRESS_MASK
        word = self._word(address)
        holder = self.holder(address)
        if holder is None:
            return Cell(address, word, None, word)
        objfile, elf = holder
        link = (address - objfile.load_bias) & ADDRESS_MASK
        slot = slot_at(elf, link)
        if slot is None or slot.address != link or slot.effect == COPY:
            # In a file that is relocated, what no relocation fills is no address.
            return Cell(address, word, None, None if elf.type == "DYN" and has_slots(elf) else word)
        return Cell(address, word, slot, self._judge(objfile, elf).expected(slot))

    def is_code(self, cell: Cell) -> bool:
        """Tell whether a word is to hold the address of a function."""
        if cell.target is None:
            return cell.slot is not None and cell.slot.symbol.name != "" and cell.slot.symbol.kind in ("FUNC", "NOTYPE")
        return self.scope.executable_in(cell.target) is not None

    def is_number(self, cell: Cell) -> bool:
        """Tell whether a word holds a number: nothing fills it and it leads to no code."""
        return cell.slot is None and cell.word is not None and not (cell.target and self.is_code(cell))

    def names(self, cell: Cell) -> tuple[str, ...]:
        """Return all symbols for the place that a word is to point to; empty if there is none at exactly that place."""
        if cell.target is None:
            return (cell.slot.symbol.name,) if cell.slot and cell.slot.symbol.name else ()
        return self.names_at(cell.target)

    def names_at(self, address: int) -> tuple[str, ...]:
        """Return all symbols at an address."""
        holder = self.holder(address)
        if holder is None:
            return ()
        link = (address - holder[0].load_bias) & ADDRESS_MASK
        return tuple(symbol.name for symbol in reversed(holder[1].symbol_table().starting_at(link)))

    def starts_function(self, cell: Cell) -> Optional[bool]:
        """Tell whether a word is to point to a function's first instruction, None if nothing tells."""
        holder = self.holder(cell.target) if cell.target else None
        if holder is None:
            return None
        link = ((cell.target or 0) - holder[0].load_bias) & ADDRESS_MASK
        symbol = holder[1].symbol_table().at(link)
        if symbol is not None and symbol.size:
            return symbol.address == link
        bounds = function_at(holder[1], link)
        return None if bounds is None else bounds.start == link

    def symbol_over(self, address: int) -> Optional[tuple[ElfSymbol, int]]:
        """Return the symbol whose extent covers an address, and the offset in it."""
        holder = self.holder(address)
        if holder is None:
            return None
        link = (address - holder[0].load_bias) & ADDRESS_MASK
        symbol = holder[1].symbol_table().at(link)
        return (symbol, link - symbol.address) if symbol is not None and symbol.size else None

    def text(self, address: int, limit: int) -> bytes:
        """Return the bytes up to a NUL, empty if there is none within `limit`."""
        data = b""
        while len(data) <= limit:
            start, page = self._page(address + len(data))
            piece = page[address + len(data) - start :]
            if not piece:
                return b""
            data += piece
            if b"\0" in piece:
                return data.split(b"\0", 1)[0] if data.index(b"\0") <= limit else b""
        return b""

    def _word(self, address: int) -> Optional[int]:
        start, data = self._page(address)
        offset = address - start
        piece = data[offset : offset + 8]
        if 0 < len(piece) < 8:
            start, data = self._page(address + len(piece))
            piece += data[address + len(piece) - start :][: 8 - len(piece)]
        return int.from_bytes(piece, "little") if len(piece) == 8 else None

    # Clipped to the segment: next to it there may be nothing.
    def _page(self, address: int) -> tuple[int, bytes]:
        number = address // _PAGE
        start, end = number * _PAGE, (number + 1) * _PAGE
        holder = self.holder(address)
        if holder is not None:
            link = address - holder[0].load_bias
            segment = next(s for s in holder[1].loaded if s.address <= link < s.end)
            start = max(start, segment.address + holder[0].load_bias)
            end = min(end, segment.end + holder[0].load_bias)
        if start not in self._pages:
            self._pages[start] = start, read_available(self._memory, Address(start), Size(end - start))
        return self._pages[start]

    def _judge(self, objfile: Objfile, elf: ElfFile) -> Judge:
        if objfile not in self._judges:
            self._judges[objfile] = Judge(self.scope, objfile, elf, None)
        return self._judges[objfile]


def signed(word: int) -> int:
    """Return a word as a number with sign."""
    return word - (1 << 64) if word & _SIGN else word
