"""The file header: both sizes and byte orders, counts that do not fit in it, and headers that are cut or wrong."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Sequence

import pytest
from elf_builder import LOAD, PROGBITS, Builder

from gdb_kdbg.elf import ElfFile, open_elf
from gdb_kdbg.errors import BadFile

FIELDS = {"section offset": (40, "<Q"), "segments": (56, "<H"), "section size": (58, "<H"), "sections": (60, "<H")}
FIELDS["names"] = (62, "<H")


def opened(folder: Path, data: bytes) -> ElfFile:
    (folder / "file.elf").write_bytes(data)
    return open_elf(str(folder / "file.elf"))


def built() -> bytes:
    builder = Builder()
    builder.segment(LOAD, 0x1000, bytes(64))
    builder.section(".text", PROGBITS, 0x1000, bytes(64))
    builder.section(".data", PROGBITS, 0x2000, bytes(64))
    return builder.build()


def changed(data: bytes, **fields: int) -> bytes:
    out = bytearray(data)
    for name, value in fields.items():
        offset, layout = FIELDS[name.replace("_", " ")]
        struct.pack_into(layout, out, offset, value)
    return bytes(out)


def with_first_section(data: bytes, size: int = 0, link: int = 0, info: int = 0) -> bytes:
    (offset,) = struct.unpack_from("<Q", data, FIELDS["section offset"][0])
    first = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, size, link, info, 0, 0)
    return data[:offset] + first + data[offset + len(first) :]


def header(bits: int, order: str, machine: int, kind: int, counts: Sequence[int] = (0, 0, 0, 0, 0)) -> bytes:
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1])
    layout = "HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH"
    return ident.ljust(16, b"\0") + struct.pack(order + layout, kind, machine, 1, 0x4321, 0, 0, 7, 52, *counts)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_sizes_and_byte_orders(tmp_path: Path, bits: int, order: str) -> None:
    elf = opened(tmp_path, header(bits, order, 62, 3))
    assert (elf.bits, elf.byte_order, elf.machine, elf.type, elf.entry) == (bits, order, "x86-64", "DYN", 0x4321)
    assert (elf.segments, elf.sections) == ((), ())


@pytest.mark.parametrize(
    ("machine", "name"), [(3, "i386"), (62, "x86-64"), (183, "aarch64"), (8, "mips"), (243, "riscv"), (0x1234, "4660")]
)
def test_a_machine_has_its_name_or_number(tmp_path: Path, machine: int, name: str) -> None:
    assert opened(tmp_path, header(64, "<", machine, 2)).machine == name


@pytest.mark.parametrize(("kind", "name"), [(0, "NONE"), (1, "REL"), (4, "CORE"), (9, "9"), (0xFF00, "LOPROC")])
def test_a_type_has_its_name_or_number(tmp_path: Path, kind: int, name: str) -> None:
    assert opened(tmp_path, header(64, "<", 62, kind)).type == name


def test_counts_that_do_not_fit_are_in_the_first_section(tmp_path: Path) -> None:
    plain = opened(tmp_path, built())
    told = with_first_section(built(), size=len(plain.sections), link=3, info=1)
    elf = opened(tmp_path, changed(told, segments=0xFFFF, sections=0, names=0xFFFF))
    assert elf.segments == plain.segments
    assert [s.name for s in elf.sections] == [s.name for s in plain.sections] == ["", ".text", ".data", ".shstrtab"]


def test_counts_that_fit_are_not_looked_up(tmp_path: Path) -> None:
    elf = opened(tmp_path, with_first_section(built(), size=1000, link=1000, info=1000))
    assert len(elf.segments) == 1
    assert [s.name for s in elf.sections] == ["", ".text", ".data", ".shstrtab"]


def test_counts_of_a_damaged_first_section(tmp_path: Path) -> None:
    told = with_first_section(built(), size=1 << 60, info=0xFFFFFFFF)
    with pytest.raises(BadFile, match="malformed ELF file"):
        opened(tmp_path, changed(told, segments=0xFFFF))
    elf = opened(tmp_path, changed(told, sections=0))
    with pytest.raises(BadFile, match="malformed ELF file"):
        assert elf.sections
    for wrong in ({"section_offset": len(told) - 10}, {"section_offset": 1 << 63}, {"section_size": 63}):
        with pytest.raises(BadFile, match="malformed ELF file"):
            opened(tmp_path, changed(told, segments=0xFFFF, **wrong))


@pytest.mark.parametrize("bits", [32, 64])
def test_a_header_that_is_cut_anywhere(tmp_path: Path, bits: int) -> None:
    whole = header(bits, "<", 62, 2)
    for size in range(4, len(whole)):
        with pytest.raises(BadFile, match="malformed ELF file"):
            opened(tmp_path, whole[:size])
    assert opened(tmp_path, whole).bits == bits


@pytest.mark.parametrize(("place", "value"), [(4, 0), (4, 3), (5, 0), (5, 255)])
def test_neither_size_nor_byte_order(tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(header(64, "<", 62, 2))
    data[place] = value
    with pytest.raises(BadFile, match=f"neither 32 nor 64 bits, or of no byte order.*{bytes(data[:16]).hex()}"):
        opened(tmp_path, bytes(data))
