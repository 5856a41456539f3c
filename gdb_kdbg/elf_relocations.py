"""The dynamic relocations of one ELF file, found as the loader finds them and kept as columns.

A large library has hundreds of thousands of them, so each table is read in one piece and taken apart by array slices,
never entry by entry. Sections are not asked: they may be stripped, and with `--emit-relocs` they hold relocations
that the linker has applied long ago.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Iterable, Mapping, NamedTuple, Protocol, Sequence

from .elf_tables import SHF_ALLOC, Section
from .errors import BadFile

# gABI "Dynamic Section"; the RELR tags are from its 2022 draft.
DT_PLTRELSZ, DT_PLTGOT, DT_RELA, DT_RELASZ, DT_REL, DT_RELSZ, DT_PLTREL, DT_JMPREL = 2, 3, 7, 8, 17, 18, 20, 23
DT_RELRSZ, DT_RELR = 35, 36
DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1 = 24, 30, 0x6FFFFFFB
_DT_SYMBOLIC, _DF_SYMBOLIC = 16, 0x2
_DF_BIND_NOW, _DF_1_NOW = 0x8, 0x1

RELR, REL, RELA = 0, 1, 2
# The types that linkers leave to the loader of x86-64 (its ABI, table 4.10); for others pyelftools is asked.
DYNAMIC_NAMES: Mapping[str, Mapping[int, str]] = {
    "x86-64": {
        1: "64", 5: "COPY", 6: "GLOB_DAT", 7: "JUMP_SLOT", 8: "RELATIVE", 16: "DTPMOD64", 17: "DTPOFF64", 18: "TPOFF64",
        36: "TLSDESC", 37: "IRELATIVE",
    },
}  # fmt: skip
# pyelftools' table of each machine's relocation types, and what their names begin with.
TYPE_NAMES = {
    "x86-64": ("ENUM_RELOC_TYPE_x64", "R_X86_64_"),
    "i386": ("ENUM_RELOC_TYPE_i386", "R_386_"),
    "aarch64": ("ENUM_RELOC_TYPE_AARCH64", "R_AARCH64_"),
}
# What pyelftools 0.33 lacks or has otherwise than binutils and glibc.
CORRECTIONS = {"aarch64": {1028: "TLS_DTPMOD64", 1029: "TLS_DTPREL64", 1031: "TLSDESC", 1032: "IRELATIVE"}}


class _File(Protocol):
    @property
    def bits(self) -> int: ...
    @property
    def byte_order(self) -> str: ...
    @property
    def sections(self) -> Sequence[Section]: ...
    @property
    def size(self) -> int: ...
    def read_table(self, link_address: int, size: int) -> bytes: ...
    def dynamic(self) -> tuple[tuple[int, int], ...]: ...


class Relocations(NamedTuple):
    """Columns of equal length: link-time address, ABI type, dynamic symbol, addend, and kind of table of each entry.

    An entry of a RELR or REL table has its addend in the file, at the slot; here it is 0. RELR entries have no type.
    """

    addresses: array[int]
    types: array[int]
    symbols: array[int]
    addends: array[int]
    tables: bytearray


def read_relocations(file: _File) -> Relocations:
    """Return the relocations that the DYNAMIC segment leads to, in the order RELR, RELA or REL, PLT.

    A static program without such a segment applies those of its loaded relocation sections (`.rela.plt`) itself.
    Raises BadFile, or struct.error or MemoryFault on hostile contents.
    """
    found = Relocations(array("Q"), array("I"), array("I"), array("q"), bytearray())
    tags = dict(file.dynamic())
    if not tags:
        for kind, start, size in _loaded_sections(file):
            _extend(found, file, kind, file.read_table(start, size))
    if tags.get(DT_RELR) and tags.get(DT_RELRSZ):
        _extend_relr(found, _relr_addresses(file, tags[DT_RELR], tags[DT_RELRSZ]))
    for kind, start, size in _tables(tags):
        _extend(found, file, kind, file.read_table(start, size))
    return found


def binds_now(dynamic: Iterable[tuple[int, int]]) -> bool:
    """Tell whether the loader fills all PLT slots at once instead of at the first call."""
    tags = dict(dynamic)
    flags, flags_1 = tags.get(DT_FLAGS, 0), tags.get(DT_FLAGS_1, 0)
    return DT_BIND_NOW in tags or bool(flags & _DF_BIND_NOW or flags_1 & _DF_1_NOW)


def is_symbolic(dynamic: Iterable[tuple[int, int]]) -> bool:
    """Tell whether the file's own definitions go before those of all other files (`-Bsymbolic`)."""
    tags = dict(dynamic)
    return _DT_SYMBOLIC in tags or bool(tags.get(DT_FLAGS, 0) & _DF_SYMBOLIC)


def _tables(tags: dict[int, int]) -> Iterable[tuple[int, int, int]]:
    plt_kind = RELA if tags.get(DT_PLTREL, DT_RELA) == DT_RELA else REL
    plt, plt_size = tags.get(DT_JMPREL, 0), tags.get(DT_PLTRELSZ, 0)
    for kind, where, how_long in ((RELA, DT_RELA, DT_RELASZ), (REL, DT_REL, DT_RELSZ)):
        start, size = tags.get(where, 0), tags.get(how_long, 0)
        if start <= plt < start + size:
            size = plt - start  # some linkers count the PLT's table as the end of this one
        if size:
            yield kind, start, size
    if plt_size:
        yield plt_kind, plt, plt_size


def _loaded_sections(file: _File) -> Iterable[tuple[int, int, int]]:
    kinds = {"RELA": RELA, "REL": REL}
    for section in file.sections:
        if section.type in kinds and section.flags & SHF_ALLOC and section.size:
            yield kinds[section.type], section.address, section.size


def _extend(found: Relocations, file: _File, kind: int, data: bytes) -> None:
    width = 3 if kind == RELA else 2
    entry = width * file.bits // 8
    data = data[: len(data) // entry * entry]
    words = array("Q" if file.bits == 64 else "I", data)
    if (file.byte_order == "<") != (sys.byteorder == "little"):
        words.byteswap()
    found.addresses.extend(words[0::width] if file.bits == 64 else words[0::width].tolist())
    types, symbols = _infos(words[1::width], file.bits)
    found.types.extend(types)
    found.symbols.extend(symbols)
    count = len(words) // width
    if kind == RELA:
        addends = array("q" if file.bits == 64 else "i", words[2::width].tobytes())
        found.addends.extend(addends if file.bits == 64 else array("q", addends))
    else:
        found.addends.extend(array("q", bytes(8 * count)))
    found.tables.extend(bytes([kind]) * count)


# ELF64_R_SYM and ELF64_R_TYPE are the two halves of a word, ELF32's are its upper 24 and its lowest 8 bits.
def _infos(infos: array[int], bits: int) -> tuple[array[int], array[int]]:
    if bits == 32:
        return array("I", [info & 0xFF for info in infos]), array("I", [info >> 8 for info in infos])
    halves = array("I", infos.tobytes())
    low = 0 if sys.byteorder == "little" else 1
    return halves[low::2], halves[1 - low :: 2]


def _extend_relr(found: Relocations, addresses: array[int]) -> None:
    count = len(addresses)
    found.addresses.extend(addresses)
    found.types.extend(array("I", bytes(4 * count)))
    found.symbols.extend(array("I", bytes(4 * count)))
    found.addends.extend(array("q", bytes(8 * count)))
    found.tables.extend(bytes([RELR]) * count)


# An even word is the address of a slot; an odd one a bitmap of words behind the last one (gABI draft, "Relocation").
def _relr_addresses(file: _File, start: int, size: int) -> array[int]:
    word = file.bits // 8
    data = file.read_table(start, size)
    limit = file.size // word
    addresses = array("Q")
    base = 0
    for (entry,) in struct.iter_unpack(file.byte_order + ("Q" if word == 8 else "I"), data[: size // word * word]):
        if not entry & 1:
            addresses.append(entry)
            base = entry + word
        else:
            bits = bin(entry >> 1)[:1:-1]
            last = (1 << file.bits) - 1
            addresses.extend([base + word * n & last for n, bit in enumerate(bits) if bit == "1"])
            base += word * (file.bits - 1)
        if len(addresses) > limit:
            raise BadFile(f"the RELR table has more entries than the {limit:#x} words of the file")
    return addresses
