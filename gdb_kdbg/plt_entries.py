"""Entries of procedure linkage tables: code that only jumps where a slot leads, wherever its sections are named."""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

from .elf import ElfFile
from .errors import KdbgError
from .slots import PlannedSlot, slot_at
from .units import ADDRESS_MASK, LinkAddress

PLT_ENTRY = 16
_ENDBR64, _BND, _JUMP_BY_SLOT = b"\xf3\x0f\x1e\xfa", b"\xf2", b"\xff\x25"


class PltEntry(NamedTuple):
    """An entry by its link-time address, and the slot that it jumps by."""

    address: LinkAddress
    slot: PlannedSlot


def plt_entry(elf: ElfFile, link_address: int) -> Optional[PltEntry]:
    """Return the PLT entry of x86-64 that an address lies in, if a relocation fills its slot by a symbol's name."""
    start = link_address - link_address % PLT_ENTRY
    try:
        code = elf.read(start, PLT_ENTRY)
        return _entry(elf, start, code) if elf.machine == "x86-64" else None
    except KdbgError:
        return None


# `[endbr64] [bnd] jmp *SLOT(%rip)`, the form of every entry.
def _entry(elf: ElfFile, start: int, code: bytes) -> Optional[PltEntry]:
    jump = code[4:] if code.startswith(_ENDBR64) else code
    jump = jump[1:] if jump.startswith(_BND) else jump
    if not jump.startswith(_JUMP_BY_SLOT):
        return None
    end = start + len(code) - len(jump) + 6
    slot = slot_at(elf, (end + struct.unpack_from("<i", jump, 2)[0]) & ADDRESS_MASK)
    return PltEntry(LinkAddress(start), slot) if slot is not None and slot.symbol.name else None
