"""Relocations of x86-64 object files, applied to bytes (psABI x86-64 1.0, table 4.9 "Relocation Types")."""

from __future__ import annotations

from typing import Callable, Mapping, NamedTuple, Optional, Sequence


class Places(NamedTuple):
    """Where a linker would put things: the symbols by number, their sizes, and the global offset table.

    Slot n of the table is symbol n's. Thread-local symbols have no address but an offset.
    """

    symbols: Sequence[int]
    sizes: Sequence[int]
    thread_local: frozenset[int]
    offset_table: int


class _Operands(NamedTuple):
    """The operands by the ABI's letters: S, A, P, Z, and GOT and G + GOT."""

    symbol: int
    addend: int
    place: int
    size: int
    table: int
    slot: int


class _Type(NamedTuple):
    name: str
    width: int
    value: Callable[[_Operands], int]


def _absolute(o: _Operands) -> int:
    return o.symbol + o.addend


# A procedure linkage table is what a linker would go through; the symbol itself does as well.
def _relative(o: _Operands) -> int:
    return o.symbol + o.addend - o.place


def _slot_relative(o: _Operands) -> int:
    return o.slot + o.addend - o.place


def _slot_in_table(o: _Operands) -> int:
    return o.slot + o.addend - o.table


def _symbol_in_table(o: _Operands) -> int:
    return o.symbol + o.addend - o.table


def _table_relative(o: _Operands) -> int:
    return o.table + o.addend - o.place


def _size(o: _Operands) -> int:
    return o.size + o.addend


_TYPES: Mapping[int, _Type] = {
    1: _Type("64", 8, _absolute),
    2: _Type("PC32", 4, _relative),
    3: _Type("GOT32", 4, _slot_in_table),
    4: _Type("PLT32", 4, _relative),
    9: _Type("GOTPCREL", 4, _slot_relative),
    10: _Type("32", 4, _absolute),
    11: _Type("32S", 4, _absolute),
    12: _Type("16", 2, _absolute),
    13: _Type("PC16", 2, _relative),
    14: _Type("8", 1, _absolute),
    15: _Type("PC8", 1, _relative),
    24: _Type("PC64", 8, _relative),
    25: _Type("GOTOFF64", 8, _symbol_in_table),
    26: _Type("GOTPC32", 4, _table_relative),
    27: _Type("GOT64", 8, _slot_in_table),
    28: _Type("GOTPCREL64", 8, _slot_relative),
    29: _Type("GOTPC64", 8, _table_relative),
    31: _Type("PLTOFF64", 8, _symbol_in_table),
    32: _Type("SIZE32", 4, _size),
    33: _Type("SIZE64", 8, _size),
    41: _Type("GOTPCRELX", 4, _slot_relative),
    42: _Type("REX_GOTPCRELX", 4, _slot_relative),
}
# DTPMOD64 to TPOFF32, and the descriptors: what they stand for depends on a thread.
_THREAD_LOCAL_TYPES = frozenset((*range(16, 24), 34, 35, 36))


def apply_relocation(
    data: bytearray, start: int, relocation: tuple[int, int, int, int], places: Places
) -> Optional[str]:
    """Change the bytes of a section at `start` as a relocation (offset, type, symbol, addend) asks.

    Returns what is wrong with one that was left out.
    """
    offset, kind, number, addend = relocation
    known = _TYPES.get(kind)
    if kind == 0:
        return None
    if known is None:
        reason = "of a thread-local symbol" if kind in _THREAD_LOCAL_TYPES else "of unknown type"
        return f"relocation {reason} ({kind:#x}) at offset {offset:#x} is not applied"
    if offset + known.width > len(data) or number >= len(places.symbols):
        return f"relocation {known.name} at offset {offset:#x} for symbol {number:#x} does not lie in the file"
    if number in places.thread_local:
        return f"relocation {known.name} at offset {offset:#x} of a thread-local symbol is not applied"
    slot = places.offset_table + 8 * number
    operands = _Operands(
        places.symbols[number], addend, start + offset, places.sizes[number], places.offset_table, slot
    )
    value = known.value(operands) & (1 << 8 * known.width) - 1
    data[offset : offset + known.width] = value.to_bytes(known.width, "little")
    return None
