"""The memory of a core dump: what was dumped, and behind it the files that were mapped."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Sequence

from ..elf import ElfFile
from ..elf_tables import Content, Segment
from ..errors import BadFile, MemoryFault
from ..intervals import Intervals
from ..units import Address, Size
from .notes import MappedFile

# A read of more than this is a wrong size, not a wish.
_READ_LIMIT = 1 << 30


class _Piece(NamedTuple):
    start: int
    end: int
    offset: int
    read: Callable[[int, int], bytes]


class CoreMemory:
    """Readable bytes of a core dump. Nothing is kept: each read goes to the file."""

    def __init__(self, core: ElfFile, mapped: Sequence[MappedFile]) -> None:
        self._path = core.path
        self._dumped = _Layer([_dumped(core, s) for s in core.segments if s.type == "LOAD" and s.file_size])
        # The kernel does not dump the unchanged pages of a file; they still are in that file.
        self._mapped = _Layer([piece for piece in map(_in_file, mapped) if piece])

    def read_memory(self, address: Address, size: Size) -> bytes:
        """Return exactly `size` bytes, or raise MemoryFault."""
        if not 0 <= size <= _READ_LIMIT:
            raise MemoryFault(address, size, "implausible size")
        data = bytearray()
        while len(data) < size:
            position = address + len(data)
            chunk = self._dumped.read(position, size - len(data)) or self._mapped.read(position, size - len(data))
            if not chunk:
                raise MemoryFault(address, size, f"{position:#x} is not in the core dump")
            data += chunk
        return bytes(data)


def _dumped(core: ElfFile, segment: Segment) -> _Piece:
    return _Piece(segment.address, segment.address + segment.file_size, segment.offset, core.read_file)


def _in_file(mapped: MappedFile) -> Optional[_Piece]:
    try:
        content = Content(mapped.path)
    except BadFile:
        return None
    # Pages behind the end of the file could not have been read by the program either.
    available = min(mapped.size, (content.size + 4095 & ~4095) - mapped.offset)
    return _Piece(mapped.start, mapped.start + available, mapped.offset, _padded(content))


# The last page of a mapped file is filled with zeros.
def _padded(content: Content) -> Callable[[int, int], bytes]:
    def read(offset: int, size: int) -> bytes:
        present = max(0, min(size, content.size - offset))
        return content.read(offset, present) + bytes(size - present) if present else bytes(size)

    return read


class _Layer:
    """Pieces that may overlap; where they do, the one that starts last wins."""

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = sorted(pieces, key=lambda piece: piece.start)
        self._intervals = Intervals([p.start for p in self._pieces], [p.end for p in self._pieces])

    def read(self, address: int, size: int) -> bytes:
        """Return what one piece has from an address on, up to `size` bytes; empty if none has it."""
        for index in self._intervals.covering(address):
            piece = self._pieces[index]
            try:
                return piece.read(piece.offset + address - piece.start, min(size, piece.end - address))
            except BadFile:
                continue  # The dump was cut before this piece ends.
        return b""
