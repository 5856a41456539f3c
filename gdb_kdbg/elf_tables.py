"""What lies in an ELF file, as plain values, and the reading of its tables in one piece each.

Every size comes from the file and is checked against the file before anything is allocated.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import weakref
import zlib
from contextlib import contextmanager
from typing import Any, Iterator, NamedTuple, Optional

from .errors import BadFile, KdbgError
from .units import LinkAddress, Size, safe_text

SHF_ALLOC, SHF_EXECINSTR, SHF_TLS, SHF_COMPRESSED = 0x2, 0x4, 0x400, 0x800
PF_X, PF_W, PF_R = 1, 2, 4

# gABI "Program Header" and "Sections", with the GNU additions of the Linux Standard Base.
_SEGMENT_TYPES = {
    **dict(enumerate(["NULL", "LOAD", "DYNAMIC", "INTERP", "NOTE", "SHLIB", "PHDR", "TLS"])),
    **dict(enumerate(["GNU_EH_FRAME", "GNU_STACK", "GNU_RELRO", "GNU_PROPERTY"], 0x6474E550)),
}
_SECTION_TYPES = {
    **dict(enumerate(["NULL", "PROGBITS", "SYMTAB", "STRTAB", "RELA", "HASH", "DYNAMIC", "NOTE", "NOBITS", "REL"])),
    **dict(enumerate(["DYNSYM", "", "", "INIT_ARRAY", "FINI_ARRAY", "PREINIT_ARRAY", "GROUP", "SYMTAB_SHNDX"], 11)),
    19: "RELR",
    0x6FFFFFF6: "GNU_HASH",
    0x6FFFFFFD: "GNU_verdef",
    0x6FFFFFFE: "GNU_verneed",
    0x6FFFFFFF: "GNU_versym",
    0x70000001: "X86_64_UNWIND",
}
_ZLIB = 1
_UNPACKED_LIMIT = 1 << 30


class Segment(NamedTuple):
    """A program header. `type` is the ABI's name without `PT_` (LOAD, DYNAMIC, ...), hexadecimal if unknown."""

    type: str
    address: LinkAddress
    physical_address: int
    offset: int
    file_size: Size
    memory_size: Size
    flags: int
    alignment: int

    @property
    def end(self) -> int:
        return self.address + self.memory_size


class Section(NamedTuple):
    """A section header. `type` is the ABI's name without `SHT_` (PROGBITS, NOBITS, ...), hexadecimal if unknown."""

    number: int
    name: str
    type: str
    address: LinkAddress
    offset: int
    size: Size
    flags: int
    link: int
    entry_size: int
    info: int = 0
    alignment: int = 0

    @property
    def end(self) -> int:
        return self.address + self.size

    @property
    def placed(self) -> bool:
        """Whether its addresses are its own in the running program; `.tbss` only borrows those behind it."""
        return bool(self.flags & SHF_ALLOC) and not (self.flags & SHF_TLS and self.type == "NOBITS")


class Note(NamedTuple):
    """A note: its owner (`GNU`, `CORE`, `QEMU`, ...), the type number in that owner's space, and its bytes."""

    owner: str
    type: int
    data: bytes


@contextmanager
def guarded(path: str) -> Iterator[None]:
    """Turn whatever the reading of an ELF file raises into BadFile; other KdbgErrors pass."""
    name = safe_text(path, 200)
    try:
        yield
    except BadFile as error:
        raise error if name in str(error) else BadFile(f"malformed ELF file {name}: {error}") from error
    except KdbgError:
        raise
    except Exception as error:
        raise BadFile(f"malformed ELF file {name}: {type(error).__name__}: {safe_text(str(error), 200)}") from error


class Header(NamedTuple):
    """Where the tables of a file lie, as (offset, count, entry size), and how its words are to be read."""

    bits: int
    byte_order: str
    segments: tuple[int, int, int]
    sections: tuple[int, int, int]
    name_section: int

    def layout(self, of_32: str, of_64: str) -> str:
        return self.byte_order + (of_64 if self.bits == 64 else of_32)


class Content:
    """The bytes of a file, by offset.

    Read, never mapped: a file that a linker truncates under a mapping would kill GDB with SIGBUS.
    """

    def __init__(self, path: str) -> None:
        """Open a regular file; raise BadFile."""
        status_of(path)
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor)
        self.size = os.fstat(self.descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes, or raise BadFile."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise BadFile(f"{size:#x} bytes at offset {offset:#x} do not lie in a file of {self.size:#x} bytes")
        data = os.pread(self.descriptor, size, offset)
        if len(data) != size:
            raise BadFile(f"the file was cut at {offset + len(data):#x} while it was read")
        return data


def status_of(path: str) -> os.stat_result:
    """Return the status of a regular file; raise BadFile for anything else: a FIFO would block, a device never end."""
    name = safe_text(path, 200)
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadFile(f"cannot read {name}: {reason.lower()}") from error
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.R_OK):
        raise BadFile(f"cannot read {name}: {'permission denied' if stat.S_ISREG(status.st_mode) else 'not a file'}")
    return status


class _Window(io.RawIOBase):
    """Part of a file as a file of its own."""

    def __init__(self, content: Content, offset: int, size: int) -> None:
        self._content, self._offset, self._size, self._position = content, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._position))
        buffer[:count] = self._content.read(self._offset + self._position, count)
        self._position += count
        return count


def window(content: Content, offset: int, size: int) -> io.BufferedReader:
    """Return a stream over part of a file, of which only what is read is ever in memory."""
    content.read(offset + size, 0)
    return io.BufferedReader(_Window(content, offset, size))


def read_segments(content: Content, header: Header) -> Iterator[Segment]:
    """Yield the program headers; raise BadFile if they are not all in the file."""
    for row in _table(content, header.layout("8I", "IIQQQQQQ"), *header.segments):
        number, flags, offset, address, physical, file_size, size, alignment = (
            row if header.bits == 64 else (row[0], row[6], *row[1:6], row[7])
        )
        kind = _SEGMENT_TYPES.get(number, hex(number))
        sizes = Size(file_size), Size(size)
        yield Segment(kind, LinkAddress(address), physical, offset, *sizes, flags, alignment)


def read_sections(content: Content, header: Header) -> Iterator[Section]:
    """Yield the section headers; raise BadFile if they are not all in the file."""
    rows = list(_table(content, header.layout("10I", "IIQQQQIIQQ"), *header.sections))
    names = b""
    if 0 < header.name_section < len(rows):
        names = content.read(rows[header.name_section][4], rows[header.name_section][5])
    for index, (name, number, flags, address, offset, size, link, info, alignment, entry_size) in enumerate(rows):
        kind = _SECTION_TYPES.get(number, hex(number))
        where = LinkAddress(address), offset, Size(size)
        yield Section(index, text_at(names, name), kind, *where, flags, link, entry_size, info, alignment)


def read_notes(data: bytes, byte_order: str, alignment: int) -> Iterator[Note]:
    """Yield the notes of a segment or section; a cut last note is dropped (gABI "Note Section")."""
    header = struct.Struct(byte_order + "III")
    step = 8 if alignment == 8 else 4
    position = 0
    while position + header.size <= len(data):
        name_size, size, number = header.unpack_from(data, position)
        start = position + _aligned(header.size + name_size, step)
        if start + size > len(data):
            return
        name = data[position + header.size : position + header.size + name_size]
        yield Note(name.split(b"\0")[0].decode("ascii", "backslashreplace"), number, data[start : start + size])
        position = start + _aligned(size, step)


def unpack_all(layout: str, data: bytes) -> Iterator[tuple[int, ...]]:
    """Yield all whole entries in `data`."""
    size = struct.calcsize(layout)
    return struct.iter_unpack(layout, data[: len(data) // size * size])


def text_at(strings: bytes, offset: int, limit: int = 4096) -> str:
    """Return the NUL-terminated text at an offset of a string table, cut at `limit` bytes."""
    return strings[offset : offset + limit].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def decompress(data: bytes, header: Header) -> Optional[bytes]:
    """Unfold a compressed section (gABI "Section Compression"); None if its method is not zlib."""
    layout = header.layout("III", "IIQQ")
    fields = struct.unpack_from(layout, data)
    kind, size = fields[0], fields[-2]
    if size > _UNPACKED_LIMIT:
        raise BadFile(f"a compressed section claims {size:#x} bytes")
    return zlib.decompressobj().decompress(data[struct.calcsize(layout) :], size) if kind == _ZLIB and size else None


def _table(content: Content, layout: str, offset: int, count: int, entry_size: int) -> Iterator[tuple[int, ...]]:
    if not count or not offset:
        return iter(())
    padding = entry_size - struct.calcsize(layout)
    if padding < 0:
        raise BadFile(f"table entries of {entry_size} bytes are too short")
    return struct.iter_unpack(f"{layout}{padding}x", content.read(offset, count * entry_size))


def _aligned(size: int, step: int) -> int:
    return (size + step - 1) // step * step
