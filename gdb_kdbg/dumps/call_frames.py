"""Finding the call frame information (DWARF CFI) of one code address without decoding all of it.

`.eh_frame_hdr` is a table to search in; without one the entries are walked, but only their headers are read.
The one entry wanted is cut out together with the entry it is based on, and given to pyelftools.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from functools import cached_property, lru_cache
from typing import Any, Iterator, Mapping, NamedTuple, Optional

from ..elf import ElfFile, guarded
from ..errors import BadFile
from ..intervals import Intervals

# LSB, "DWARF Extensions": how .eh_frame writes a pointer, lower half the format, upper half what it is relative to.
_FORMATS = {0x0: "Q", 0x2: "H", 0x3: "I", 0x4: "Q", 0xA: "h", 0xB: "i", 0xC: "q"}
_PC_RELATIVE = 0x10
# What every linker writes: version 1, pointers pc-relative, the table sorted and relative to the header.
_SORTED_TABLE = (1, 0x1B, 0x03, 0x3B)


class Rules(NamedTuple):
    """How to find the caller's registers at one address: pyelftools' CFARule, and a RegisterRule for each number."""

    cfa: Any
    registers: Mapping[int, Any]
    return_address: int
    signal_frame: bool


class _Entry(NamedTuple):
    start: int
    end: int
    offset: int


class _Section(NamedTuple):
    data: bytes
    address: int
    is_eh_frame: bool


def rules_at(elf: ElfFile, link_address: int) -> Optional[Rules]:
    """Return the unwinding rules of an address; None if the file has none for it; raise BadFile."""
    with guarded(elf.path):
        for table in _tables(elf):
            offset = table.find(link_address)
            rules = table.rules(offset, link_address) if offset is not None else None
            if rules is not None:
                return rules
        return None


@lru_cache(maxsize=32)
def _tables(elf: ElfFile) -> tuple[_Table, ...]:
    with guarded(elf.path):
        found = [_eh_frame(elf)]
        data = elf.debug_file.section_bytes(".debug_frame")
        if data:
            found.append(_Table(elf, _Section(data, 0, False)))
        return tuple(table for table in found if table)


def _eh_frame(elf: ElfFile) -> Optional[_Table]:
    header = next((s for s in elf.segments if s.type == "GNU_EH_FRAME"), None)
    if header is not None and header.file_size >= 12:
        data = elf.read(header.address, header.file_size)
        version, frame_format, count_format, table_format = data[:4]
        if (version, frame_format, count_format, table_format) == _SORTED_TABLE:
            relative, count = struct.unpack_from(elf.byte_order + "iI", data, 4)
            start = header.address + 4 + relative
            section = _Section(elf.read(start, _bytes_left(elf, start)), start, True)
            pairs = array("i", data[12 : 12 + min(count, (len(data) - 12) // 8) * 8])
            return _Table(elf, section, (header.address, pairs))
    found = elf.section(".eh_frame")
    contents = elf.section_bytes(".eh_frame") if found else None
    return _Table(elf, _Section(contents, found.address, True)) if found and contents else None


# The header does not say how long .eh_frame is, and there may be no section headers.
def _bytes_left(elf: ElfFile, address: int) -> int:
    ends = [s.end for s in elf.sections if s.placed and s.address <= address < s.end] if elf.sections else []
    ends += [s.address + s.file_size for s in elf.loaded if s.address <= address < s.address + s.file_size]
    if not ends:
        raise BadFile(f".eh_frame_hdr leads to {address:#x}, which is in no segment")
    return min(ends) - address


class _Table:
    """One section of call frame information."""

    def __init__(self, elf: ElfFile, section: _Section, index: Optional[tuple[int, array[int]]] = None) -> None:
        self._elf, self._section, self._index = elf, section, index

    def find(self, address: int) -> Optional[int]:
        """Return the offset of the entry (FDE) for an address."""
        if self._index is None:
            found = self._walked[0].innermost(address)
            return self._walked[1][found].offset if found >= 0 else None
        base, pairs = self._index
        position = bisect_right(pairs[::2], address - base) - 1
        return base + pairs[2 * position + 1] - self._section.address if position >= 0 else None

    def rules(self, offset: int, address: int) -> Optional[Rules]:
        """Return the rules that the entry at an offset gives for an address, None if it does not reach there."""
        cut = self._cut(offset)
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
    def _cut(self, offset: int) -> Any:
        entry, common = self._bytes_at(offset), self._common_of(offset)
        if entry is None or common is None:
            return None
        base = self._bytes_at(common)
        if base is None:
            return None
        link = len(base) + 4 if self._section.is_eh_frame else 0
        moved = entry[:4] + struct.pack(self._elf.byte_order + "I", link) + entry[8:]
        address = self._section.address + offset - len(base)
        return self._elf.call_frames(base + moved, address, self._section.is_eh_frame)

    def _bytes_at(self, offset: int) -> Optional[bytes]:
        size = self._word(offset) if offset >= 0 else 0
        data = self._section.data[offset : offset + 4 + size]
        # Longer ones, and those of the 64-bit format, nobody writes; a size of 0 ends the section.
        return data if 4 <= size < 0xFFFFFFF0 and len(data) == 4 + size else None

    # Offset of the CIE of the entry at an offset; None if that is a CIE itself.
    def _common_of(self, offset: int) -> Optional[int]:
        link = self._word(offset + 4)
        if self._section.is_eh_frame:
            return offset + 4 - link if link else None
        return link if link != 0xFFFFFFFF else None

    def _word(self, offset: int) -> int:
        word = self._section.data[offset : offset + 4]
        return int.from_bytes(word, "little" if self._elf.byte_order == "<" else "big")

    @cached_property
    def _walked(self) -> tuple[Intervals, list[_Entry]]:
        entries = sorted(self._walk())
        return Intervals([e.start for e in entries], [e.end for e in entries]), entries

    def _walk(self) -> Iterator[_Entry]:
        offset, formats = 0, dict[int, int]()
        while True:
            data = self._bytes_at(offset)
            if data is None:
                return
            common = self._common_of(offset)
            if common is not None:
                if common not in formats:
                    formats[common] = self._pointer_format(common)
                yield from self._extent(offset, data, formats[common])
            offset += len(data)

    def _extent(self, offset: int, data: bytes, pointer_format: int) -> Iterator[_Entry]:
        layout = _FORMATS.get(pointer_format & 0xF)
        if layout is None or len(data) < 8 + 2 * struct.calcsize(layout):
            return
        start, size = struct.unpack_from(self._elf.byte_order + layout + layout.upper(), data, 8)
        if pointer_format & 0x70 == _PC_RELATIVE:
            start += self._section.address + offset + 8
        yield _Entry(start, start + size, offset)

    def _pointer_format(self, common: int) -> int:
        data = self._bytes_at(common)
        if not self._section.is_eh_frame or data is None:
            return 0
        (entry, *_) = self._elf.call_frames(data, self._section.address + common, True).get_entries()
        augmentation: Mapping[Any, Any] = getattr(entry, "augmentation_dict", {})
        return int(augmentation.get("FDE_encoding", 0))
