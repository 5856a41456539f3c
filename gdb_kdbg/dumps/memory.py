"""Memory in pieces of files, and the memory of a process: what was dumped, behind it the files that were mapped."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Protocol, Sequence

from ..elf import ElfFile
from ..elf_tables import Content
from ..errors import BadFile, MemoryFault
from ..intervals import Intervals
from ..units import Address, Size
from .notes import MappedFile

# A read of more than this is a wrong size, not a wish.
_READ_LIMIT = 1 << 30


class Piece(NamedTuple):
    """Addresses whose bytes lie at an offset of a file."""

    start: int
    end: int
    offset: int
    read: Callable[[int, int], bytes]


class Pieces:
    """Pieces that may overlap; where they do, the one that starts last wins."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = sorted(pieces, key=lambda piece: piece.start)
        self._intervals = Intervals([p.start for p in self._pieces], [p.end for p in self._pieces])

    def read(self, address: int, size: int) -> bytes:
        """Return what one piece has from an address on, up to `size` bytes; empty if none has it."""
        for index in self._intervals.covering(address):
            piece = self._pieces[index]
            try:
                return piece.read(piece.offset + address - piece.start, min(size, piece.end - address))
            except BadFile:
                continue  # The file was cut before this piece ends.
        return b""

    def boundary(self, address: int) -> int:
        return self._intervals.next_start(address)


class Reader(Protocol):
    """Reads a stretch of memory that hangs together."""

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes from an address on, empty if there is nothing."""
        ...

    def boundary(self, address: int) -> int:
        """Return the next address at which this source may have something else to say."""
        ...


def read_all(sources: Sequence[Reader], address: Address, size: Size) -> bytes:
    """Return exactly `size` bytes, each stretch from the first source that has it, or raise MemoryFault."""
    if not 0 <= size <= _READ_LIMIT:
        raise MemoryFault(address, size, "implausible size")
    data = bytearray()
    while len(data) < size:
        position = address + len(data)
        left = min(address + size, *(source.boundary(position) for source in sources)) - position
        chunk = next(filter(None, (source.read(position, left) for source in sources)), b"")
        if not chunk:
            raise MemoryFault(address, size, f"{position:#x} is not in the core dump")
        data += chunk
    return bytes(data)


class ProcessMemory:
    """The memory of a dumped process. Nothing is kept: each read goes to the file."""

    def __init__(self, core: ElfFile, mapped: Sequence[MappedFile]) -> None:
        loads = [s for s in core.segments if s.type == "LOAD" and s.file_size]
        dumped = [Piece(s.address, s.address + s.file_size, s.offset, core.read_file) for s in loads]
        # The kernel does not dump the unchanged pages of a file; they still are in that file.
        in_files = [piece for piece in map(_in_file, mapped) if piece]
        self._sources: list[Reader] = [Pieces(dumped), Pieces(in_files)]

    def read_memory(self, address: Address, size: Size) -> bytes:
        """Return exactly `size` bytes, or raise MemoryFault."""
        return read_all(self._sources, address, size)


def _in_file(mapped: MappedFile) -> Optional[Piece]:
    try:
        content = Content(mapped.path)
    except BadFile:
        return None
    # Pages behind the end of the file could not have been read by the program either.
    available = min(mapped.end - mapped.start, (content.size + 4095 & ~4095) - mapped.offset)
    return Piece(mapped.start, mapped.start + available, mapped.offset, _padded(content)) if available > 0 else None


# The last page of a mapped file is filled with zeros.
def _padded(content: Content) -> Callable[[int, int], bytes]:
    def read(offset: int, size: int) -> bytes:
        present = max(0, min(size, content.size - offset))
        return (content.read(offset, present) if present else b"") + bytes(size - present)

    return read
