"""The memory of a guest that QEMU dumped, through the page tables of one of its CPUs.

A dump without `-p` has physical addresses only. One with `-p` has virtual ones, but QEMU (7.2 and before) cuts each
mapping at the end of the RAM block that it begins in, so that a kernel mapped from physical 0 loses all above
640 KiB; and it writes addresses of the lower half as 0xffff.... So the page tables are walked in both cases.
"""

from __future__ import annotations

from typing import Mapping, Optional

from ..elf import ElfFile
from ..elf_tables import Segment
from ..units import Address, Size
from .memory import Piece, Pieces, Reader, read_all

# Intel SDM vol. 3, 4.5: flags and fields of control registers and of table entries.
_CR0_PAGING, _CR4_FIVE_LEVELS = 1 << 31, 1 << 12
_PRESENT, _LARGE = 1, 1 << 7
_FRAME = 0x000F_FFFF_FFFF_F000
_PAGE = 4096
# The RAM of a PC has a hole between 640 KiB and 768 KiB; QEMU writes what is behind it directly after what is before.
_HOLE_START, _HOLE_END = 0xA0000, 0xC0000

_DOUBT = (
    "QEMU left out of this dump's mappings what lies above 640 KiB; it is taken from where QEMU puts it on a PC "
    "(dump-guest-memory without -p leaves no doubt)"
)


class GuestMemory:
    """Virtual memory of a dumped guest as the CPU with these registers sees it."""

    def __init__(self, core: ElfFile, registers: Mapping[str, int]) -> None:
        loads = [s for s in core.segments if s.type == "LOAD" and s.file_size]
        behind = [_behind_hole(s, core) for s in loads if _cut_at_hole(s)][:1]
        self.problems: tuple[str, ...] = (_DOUBT,) if behind else ()
        physical = [_piece(s.physical_address, s, core) for s in loads]
        # Where both addresses are the same, QEMU has written physical ones only.
        virtual = [_piece(s.address, s, core) for s in loads if s.address != s.physical_address]
        self._sources: list[Reader] = [_Walker(Pieces(physical + behind), registers), Pieces(virtual)]

    def read_memory(self, address: Address, size: Size) -> bytes:
        """Return exactly `size` bytes, or raise MemoryFault."""
        return read_all(self._sources, address, size)


def _piece(start: int, segment: Segment, core: ElfFile) -> Piece:
    return Piece(start, start + segment.file_size, segment.offset, core.read_file)


def _behind_hole(segment: Segment, core: ElfFile) -> Piece:
    offset = segment.offset + segment.file_size
    return Piece(_HOLE_END, _HOLE_END + max(0, core.size - offset), offset, core.read_file)


def _cut_at_hole(segment: Segment) -> bool:
    return segment.file_size < segment.memory_size and segment.physical_address + segment.file_size == _HOLE_START


class _Walker:
    """Reads virtual addresses through page tables in physical memory."""

    def __init__(self, physical: Pieces, registers: Mapping[str, int]) -> None:
        self._physical = physical
        self._root = registers.get("cr3", 0) & _FRAME
        self._levels = 5 if registers.get("cr4", 0) & _CR4_FIVE_LEVELS else 4
        self._paging = bool(registers.get("cr0", 0) & _CR0_PAGING)

    def read(self, address: int, size: int) -> bytes:
        """Return what is left of the page at an address, up to `size` bytes; empty if it is not mapped."""
        physical = self._translate(address) if self._paging else address
        left = _PAGE - address % _PAGE
        return self._physical.read(physical, min(size, left)) if physical is not None else b""

    def boundary(self, address: int) -> int:
        return address // _PAGE * _PAGE + _PAGE

    def _translate(self, address: int) -> Optional[int]:
        bits = 12 + 9 * self._levels
        # Only addresses whose upper bits repeat the highest one translated exist (SDM vol. 1, 3.3.7.1).
        if address >> (bits - 1) not in (0, (1 << (65 - bits)) - 1):
            return None
        table = self._root
        for shift in range(bits - 9, 3, -9):
            raw = self._physical.read(table + 8 * (address >> shift & 0x1FF), 8)
            entry = int.from_bytes(raw, "little")
            if len(raw) < 8 or not entry & _PRESENT:
                return None
            if shift == 12 or (entry & _LARGE and shift <= 30):
                offset = (1 << shift) - 1
                return entry & _FRAME & ~offset | address & offset
            table = entry & _FRAME
        return None
