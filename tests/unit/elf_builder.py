"""Builds small ELF files byte by byte, so that the unit tests need no compiler."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

LOAD, DYNAMIC, NOTE = 1, 2, 4
PROGBITS, SYMTAB, STRTAB, NOBITS = 1, 2, 3, 8
EXEC, DYN, CORE = 2, 3, 4
ALLOC, TLS = 2, 0x400
HEADER_SIZE, SEGMENT_SIZE, SECTION_SIZE = 64, 56, 64


@dataclass
class Sym:
    name: str
    value: int
    size: int = 0
    kind: int = 2
    binding: int = 1
    section: int = 1

    def pack(self, name_offset: int) -> bytes:
        info = self.binding << 4 | self.kind
        return struct.pack("<IBBHQQ", name_offset, info, 0, self.section, self.value, self.size)


@dataclass
class Builder:
    """Collects segments and sections; their contents lie one behind the other after the headers."""

    type: int = EXEC
    machine: int = 62
    segments: list[tuple[int, int, int, bytes, int]] = field(default_factory=list)
    sections: list[tuple[str, int, int, int, bytes, int, int]] = field(default_factory=list)

    def segment(self, kind: int, address: int, data: bytes, memory_size: int | None = None, physical: int = 0) -> None:
        self.segments.append((kind, address, physical, data, len(data) if memory_size is None else memory_size))

    def section(self, name: str, kind: int, address: int, data: bytes, flags: int = ALLOC, size: int = -1) -> None:
        self.sections.append((name, kind, flags, address, data, len(data) if size < 0 else size, 0))

    def symbols(self, symbols: list[Sym]) -> None:
        """Add `.symtab` and `.strtab` behind the sections so far."""
        strings, entries = b"\0", bytes(24)
        for symbol in symbols:
            entries += symbol.pack(len(strings))
            strings += symbol.name.encode() + b"\0"
        link = len(self.sections) + 2
        self.sections.append((".symtab", SYMTAB, 0, 0, entries, len(entries), link))
        self.sections.append((".strtab", STRTAB, 0, 0, strings, len(strings), 0))

    def build(self) -> bytes:
        """Return the file."""
        count = len(self.sections) + 2 if self.sections else 0
        position = HEADER_SIZE + SEGMENT_SIZE * len(self.segments)
        headers, contents = b"", b""
        for kind, address, physical, data, memory_size in self.segments:
            place = position + len(contents)
            headers += struct.pack("<IIQQQQQQ", kind, 5, place, address, physical, len(data), memory_size, 4)
            contents += data
        names, table = b"\0", bytes(SECTION_SIZE)
        for name, kind, flags, address, data, size, link in [*self.sections, (".shstrtab", STRTAB, 0, 0, b"", 0, 0)]:
            offset = len(names)
            names += name.encode() + b"\0"
            if name == ".shstrtab":
                data, size = names, len(names)
            table += struct.pack(
                "<IIQQQQIIQQ", offset, kind, flags, address, position + len(contents), size, link, 0, 1, 0
            )
            contents += data
        ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        tables = (HEADER_SIZE, position + len(contents) if count else 0)
        sizes = (HEADER_SIZE, SEGMENT_SIZE, len(self.segments), SECTION_SIZE, count, max(0, count - 1))
        header = ident + struct.pack("<HHIQQQIHHHHHH", self.type, self.machine, 1, 0x1000, *tables, 0, *sizes)
        return header + headers + contents + (table if count else b"")


def note(owner: bytes, kind: int, data: bytes) -> bytes:
    """Return a note, padded to four bytes."""
    name = owner + b"\0"
    return struct.pack("<III", len(name), len(data), kind) + _padded(name) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
