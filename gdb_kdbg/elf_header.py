"""The file header of an ELF file, as far as it leads to the tables (gABI "ELF Header").

Only `elf_tables.Content` reads, so every place and size is checked against the file's.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .elf_tables import Content, Header
from .errors import BadFile

_IDENT = 16
_BITS = {1: 32, 2: 64}
_BYTE_ORDERS = {1: "<", 2: ">"}
_TYPES = {0: "NONE", 1: "REL", 2: "EXEC", 3: "DYN", 4: "CORE", 0xFF00: "LOPROC", 0xFFFF: "HIPROC"}
# Counts that do not fit in the header are in the section header at index 0, and these stand for them.
_MANY_SEGMENTS, _MANY_SECTIONS, _FAR_NAMES = 0xFFFF, 0, 0xFFFF


class FileHeader(NamedTuple):
    """What the file header says; `machine` is the ABI's number, `tables` has the counts as they stand there."""

    machine: int
    type: str
    entry: int
    tables: Header


def read_file_header(content: Content) -> FileHeader:
    """Read the file header of a file that begins like an ELF file; raise BadFile."""
    bits, order = _class_of(content.read(0, min(_IDENT, content.size)))
    layout = struct.Struct(order + ("16xHHIQQQIHHHHHH" if bits == 64 else "16xHHIIIIIHHHHHH"))
    kind, machine, _, entry, segments, sections, _, _, *counts = layout.unpack(content.read(0, layout.size))
    segment_size, segment_count, section_size, section_count, names = counts
    segments, sections = (segments, segment_count, segment_size), (sections, section_count, section_size)
    return FileHeader(machine, _TYPES.get(kind, str(kind)), entry, Header(bits, order, segments, sections, names))


def _class_of(ident: bytes) -> tuple[int, str]:
    bits, order = _BITS.get(ident[4] if len(ident) > 4 else 0), _BYTE_ORDERS.get(ident[5] if len(ident) > 5 else 0)
    if bits is None or order is None:
        raise BadFile(f"neither 32 nor 64 bits, or of no byte order: its header begins with {ident.hex()}")
    return bits, order


def with_segments(content: Content, header: Header) -> Header:
    """Return the header with the number of segments that the file has; raise BadFile."""
    offset, count, size = header.segments
    if not offset or count != _MANY_SEGMENTS:
        return header
    return header._replace(segments=(offset, _first_section(content, header)[7] if header.sections[0] else 0, size))


def with_sections(content: Content, header: Header) -> Header:
    """Return the header with the number of sections that the file has, and where their names are; raise BadFile."""
    offset, count, size = header.sections
    if not offset:
        return header._replace(sections=(0, 0, size), name_section=0)
    if count != _MANY_SECTIONS and header.name_section != _FAR_NAMES:
        return header
    first = _first_section(content, header)
    names = first[6] if header.name_section == _FAR_NAMES else header.name_section
    return header._replace(sections=(offset, count or first[5], size), name_section=names)


def _first_section(content: Content, header: Header) -> tuple[int, ...]:
    layout = struct.Struct(header.layout("10I", "IIQQQQIIQQ"))
    if header.sections[2] < layout.size:
        raise BadFile(f"section headers of {header.sections[2]} bytes are too short")
    return layout.unpack(content.read(header.sections[0], layout.size))
