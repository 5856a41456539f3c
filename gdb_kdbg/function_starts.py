"""Where functions start and end, from call frame information, which stripping leaves in place.

`.eh_frame_hdr` is a table to search in, and found even without section headers; where there is none the entries of
`.eh_frame` are walked, of which only the headers are read. Source: LSB, "Exception Frames"; DWARF 5, 6.4.1.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from functools import cached_property, lru_cache
from typing import Any, Iterator, Mapping, NamedTuple, Optional

from .elf import ElfFile, guarded
from .errors import BadFile, MemoryFault
from .intervals import Intervals
from .units import LinkAddress

# How .eh_frame writes a pointer, lower half the format, upper half what it is relative to.
_FORMATS = {0x0: "Q", 0x2: "H", 0x3: "I", 0x4: "Q", 0xA: "h", 0xB: "i", 0xC: "q"}
_PC_RELATIVE = 0x10
# What every linker writes: version 1, pointers pc-relative, the table sorted and relative to the header.
_SORTED_TABLE = (1, 0x1B, 0x03, 0x3B)


class FunctionBounds(NamedTuple):
    """The link-time addresses of a function, or of a part of one that is placed apart (`.cold`)."""

    start: LinkAddress
    end: LinkAddress


def function_at(elf: ElfFile, link_address: int) -> Optional[FunctionBounds]:
    """Return the bounds of the function that holds an address; None if no entry covers it; raise BadFile."""
    with guarded(elf.path):
        table = eh_frame(elf)
        offset = table.find(link_address) if table else None
        bounds = table.bounds(offset) if table and offset is not None else None
        return bounds if bounds and bounds.start <= link_address < bounds.end else None


@lru_cache(maxsize=64)
def eh_frame(elf: ElfFile) -> Optional[FrameEntries]:
    """Return the entries of `.eh_frame`, with the table to search in if there is one; None without; raise BadFile."""
    with guarded(elf.path):
        try:
            found = _by_header(elf)
        except MemoryFault as error:
            raise BadFile(f".eh_frame_hdr leads out of the file: {error}") from error
        if found is not None:
            return found
        section = elf.section(".eh_frame")
        contents = elf.section_bytes(".eh_frame") if section else None
        return FrameEntries(elf, contents, section.address, True) if section and contents else None


def _by_header(elf: ElfFile) -> Optional[FrameEntries]:
    header = next((s for s in elf.segments if s.type == "GNU_EH_FRAME"), None)
    if header is None or not 12 <= header.file_size <= elf.size:
        return None
    data = elf.read(header.address, header.file_size)
    if tuple(data[:4]) != _SORTED_TABLE:
        return None
    relative, count = struct.unpack_from(elf.byte_order + "iI", data, 4)
    start = header.address + 4 + relative
    pairs = array("i", data[12 : 12 + min(count, (len(data) - 12) // 8) * 8])
    if elf.byte_order != ("<" if sys.byteorder == "little" else ">"):
        pairs.byteswap()
    contents = elf.read(start, _bytes_left(elf, start))
    return FrameEntries(elf, contents, start, True, _SearchTable(header.address, pairs[::2], pairs[1::2]))


# The header does not say how long .eh_frame is, and there may be no section headers.
def _bytes_left(elf: ElfFile, address: int) -> int:
    ends = [s.end for s in elf.sections if s.placed and s.address <= address < s.end] if elf.sections else []
    ends += [s.address + s.file_size for s in elf.loaded if s.address <= address < s.address + s.file_size]
    if not ends:
        raise BadFile(f".eh_frame_hdr leads to {address:#x}, which is in no segment")
    return min(min(ends) - address, elf.size)


# Starts of functions, sorted, and where the entry of each lies, both relative to the header.
class _SearchTable(NamedTuple):
    base: int
    starts: array[int]
    entries: array[int]


class FrameEntries:
    """The entries of one section of call frame information, found by code address and read by offset."""

    def __init__(
        self, elf: ElfFile, data: bytes, address: int, is_eh_frame: bool, table: Optional[_SearchTable] = None
    ) -> None:
        self.data = data
        self.address = address
        self.is_eh_frame = is_eh_frame
        self._elf = elf
        self._table = table
        self._formats: dict[int, int] = {}

    @property
    def has_table(self) -> bool:
        """Whether `.eh_frame_hdr` leads to the entries."""
        return self._table is not None

    def find(self, code_address: int) -> Optional[int]:
        """Return the offset of the one entry (FDE) that can cover an address."""
        if self._table is None:
            found = self._walked[0].innermost(code_address)
            return self._walked[1][found][1] if found >= 0 else None
        base, starts, entries = self._table
        position = bisect_right(starts, code_address - base) - 1
        return base + entries[position] - self.address if position >= 0 else None

    def bounds(self, offset: int) -> Optional[FunctionBounds]:
        """Return what the entry at an offset covers; None if it is no FDE or its pointers are of an unknown format."""
        data = self.bytes_at(offset)
        common = self.common_of(offset) if data else None
        if data is None or common is None:
            return None
        pointer_format = self._pointer_format(common)
        layout = _FORMATS.get(pointer_format & 0xF)
        if layout is None or len(data) < 8 + 2 * struct.calcsize(layout):
            return None
        start, size = struct.unpack_from(self._elf.byte_order + layout + layout.upper(), data, 8)
        if pointer_format & 0x70 == _PC_RELATIVE:
            start += self.address + offset + 8
        return FunctionBounds(LinkAddress(start), LinkAddress(start + size))

    def bytes_at(self, offset: int) -> Optional[bytes]:
        """Return the whole entry at an offset; None if there is none."""
        size = self._word(offset) if offset >= 0 else 0
        data = self.data[offset : offset + 4 + size]
        # Longer ones, and those of the 64-bit format, nobody writes; a size of 0 ends the section.
        return data if 4 <= size < 0xFFFFFFF0 and len(data) == 4 + size else None

    def common_of(self, offset: int) -> Optional[int]:
        """Return the offset of the entry (CIE) that the one at an offset is based on; None if that is a CIE itself."""
        link = self._word(offset + 4)
        if self.is_eh_frame:
            return offset + 4 - link if link else None
        return link if link != 0xFFFFFFFF else None

    def _word(self, offset: int) -> int:
        word = self.data[offset : offset + 4]
        return int.from_bytes(word, "little" if self._elf.byte_order == "<" else "big")

    @cached_property
    def _walked(self) -> tuple[Intervals, list[tuple[FunctionBounds, int]]]:
        entries = sorted(self._walk())
        return Intervals([b.start for b, _ in entries], [b.end for b, _ in entries]), entries

    def _walk(self) -> Iterator[tuple[FunctionBounds, int]]:
        offset = 0
        while True:
            data = self.bytes_at(offset)
            if data is None:
                return
            bounds = self.bounds(offset)
            if bounds is not None:
                yield bounds, offset
            offset += len(data)

    def _pointer_format(self, common: int) -> int:
        if common not in self._formats:
            self._formats[common] = self._read_pointer_format(common)
        return self._formats[common]

    def _read_pointer_format(self, common: int) -> int:
        data = self.bytes_at(common)
        if not self.is_eh_frame or data is None:
            return 0
        if self.common_of(common) is not None:  # An entry based on itself sends pyelftools round for ever.
            raise BadFile(f"the entry at {self.address + common:#x} of the call frame information is no common one")
        (entry, *_) = self._elf.call_frames(data, self.address + common, True).get_entries()
        augmentation: Mapping[Any, Any] = getattr(entry, "augmentation_dict", {})
        return int(augmentation.get("FDE_encoding", 0))
