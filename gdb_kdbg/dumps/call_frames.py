"""The rules of call frame information (DWARF CFI) for one code address, without decoding all of it.

The one entry wanted is cut out together with the entry it is based on, and given to pyelftools.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Mapping, NamedTuple, Optional

from ..elf import ElfFile, guarded
from ..function_starts import FrameEntries, eh_frame


class Rules(NamedTuple):
    """How to find the caller's registers at one address: pyelftools' CFARule, and a RegisterRule for each number."""

    cfa: Any
    registers: Mapping[int, Any]
    return_address: int
    signal_frame: bool


def rules_at(elf: ElfFile, link_address: int) -> Optional[Rules]:
    """Return the unwinding rules of an address; None if the file has none for it; raise BadFile."""
    with guarded(elf.path):
        for table in _tables(elf):
            offset = table.find(link_address)
            rules = _rules(elf, table, offset, link_address) if offset is not None else None
            if rules is not None:
                return rules
        return None


@lru_cache(maxsize=32)
def _tables(elf: ElfFile) -> tuple[FrameEntries, ...]:
    with guarded(elf.path):
        found = [eh_frame(elf)]
        data = elf.debug_file.section_bytes(".debug_frame")
        if data:
            found.append(FrameEntries(elf, data, 0, False))
        return tuple(table for table in found if table)


# What the entry at an offset says of an address; None if it does not reach there.
def _rules(elf: ElfFile, table: FrameEntries, offset: int, address: int) -> Optional[Rules]:
    cut = _cut(elf, table, offset)
    if cut is None:
        return None
    *_, entry = cut.get_entries()
    start, size = entry["initial_location"], entry["address_range"]
    if not start <= address < start + size:
        return None
    lines = [line for line in entry.get_decoded().table if line["pc"] <= address]
    if not lines or lines[-1]["cfa"] is None:
        return None
    common = entry.cie.header
    registers = {number: rule for number, rule in lines[-1].items() if isinstance(number, int)}
    signal = b"S" in common["augmentation"]
    return Rules(lines[-1]["cfa"], registers, common["return_address_register"], signal)


# The entry and the one it is based on (CIE), as a section of their own with the link between them adjusted.
def _cut(elf: ElfFile, table: FrameEntries, offset: int) -> Any:
    entry, common = table.bytes_at(offset), table.common_of(offset)
    base = table.bytes_at(common) if entry and common is not None else None
    # An entry based on one that is no common one would send pyelftools on, in the end for ever.
    if entry is None or common is None or base is None or table.common_of(common) is not None:
        return None
    link = len(base) + 4 if table.is_eh_frame else 0
    moved = entry[:4] + struct.pack(elf.byte_order + "I", link) + entry[8:]
    return elf.call_frames(base + moved, table.address + offset - len(base), table.is_eh_frame)
