"""elf.py on files built byte by byte, whole and damaged."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from elf_builder import (
    ALLOC,
    CORE,
    DYNAMIC,
    LOAD,
    NOBITS,
    NOTE,
    PROGBITS,
    SYMTAB,
    Builder,
    Sym,
    note,
)

from gdb_kdbg.elf import ElfFile, open_elf
from gdb_kdbg.errors import BadFile, KdbgError, MemoryFault

CODE = bytes(range(64))


def small() -> Builder:
    builder = Builder()
    builder.segment(LOAD, 0x1000, CODE, memory_size=0x100)
    builder.segment(NOTE, 0, note(b"GNU", 3, b"\x12\xab" * 10) + note(b"other", 7, b"xyz"))
    builder.segment(DYNAMIC, 0x2000, struct.pack("<6Q", 5, 0x1000, 10, 20, 0, 99))
    builder.section(".text", PROGBITS, 0x1000, CODE)
    builder.section(".bss", NOBITS, 0x1040, b"", size=0xC0)
    zeros = Sym("zeros", 0x1040, 8, 1, section=2)
    builder.symbols([Sym("start", 0x1000, 16), Sym("end_of_text", 0x1040, kind=0), zeros])
    return builder


def opened(folder: Path, data: bytes, name: str = "file.elf") -> ElfFile:
    path = folder / name
    path.write_bytes(data)
    return open_elf(str(path))


def test_headers(tmp_path: Path) -> None:
    elf = opened(tmp_path, small().build())
    assert (elf.machine, elf.bits, elf.type, elf.entry) == ("x86-64", 64, "EXEC", 0x1000)
    assert [s.type for s in elf.segments] == ["LOAD", "NOTE", "DYNAMIC"]
    assert (elf.segments[0].address, elf.segments[0].file_size, elf.segments[0].memory_size) == (0x1000, 64, 0x100)
    assert [s.name for s in elf.sections] == ["", ".text", ".bss", ".symtab", ".strtab", ".shstrtab"]
    assert elf.section(".text") == elf.sections[1]
    assert elf.section(".nothing") is None
    assert elf.section_bytes(".text") == CODE
    assert elf.section_bytes(".bss") is None


def test_notes_and_dynamic(tmp_path: Path) -> None:
    elf = opened(tmp_path, small().build())
    assert [(n.owner, n.type, len(n.data)) for n in elf.notes()] == [("GNU", 3, 20), ("other", 7, 3)]
    assert elf.build_id() == "12ab" * 10
    assert elf.dynamic() == ((5, 0x1000), (10, 20))


def test_read_fills_with_zeros_and_ends_with_the_segment(tmp_path: Path) -> None:
    elf = opened(tmp_path, small().build())
    assert elf.read(0x1038, 16) == CODE[56:] + bytes(8)
    assert elf.read(0x10FF, 1) == b"\0"
    for place, size in [(0x10FF, 2), (0xFFF, 2), (0, 1), (1 << 63, 1), (0x1000, -1), (0x1000, 1 << 40)]:
        with pytest.raises(MemoryFault):
            elf.read(place, size)


def test_symbols(tmp_path: Path) -> None:
    table = opened(tmp_path, small().build()).symbol_table()
    found = table.nearest(0x1044)
    assert found is not None
    assert found.name == "zeros"
    assert table.next_after(0x1000) == 0x1040


def test_no_sections_no_symbols(tmp_path: Path) -> None:
    builder = Builder()
    builder.segment(LOAD, 0x1000, CODE)
    elf = opened(tmp_path, builder.build())
    assert elf.sections == ()
    assert len(elf.symbol_table()) == 0
    assert elf.build_id() is None
    assert elf.dwarf() is None


def test_the_same_file_is_opened_once_and_a_changed_one_again(tmp_path: Path) -> None:
    first = opened(tmp_path, small().build())
    assert open_elf(str(tmp_path / "." / "file.elf")) is first
    changed = small()
    changed.section(".more", PROGBITS, 0x5000, b"more")
    second = opened(tmp_path, changed.build())
    assert second is not first
    assert second.section(".more") is not None


def test_per_cpu_segment_of_a_kernel_is_not_loaded(tmp_path: Path) -> None:
    builder = Builder()
    builder.segment(LOAD, 0, CODE)
    builder.segment(LOAD, 0xFFFFFFFF81000000, CODE)
    assert [s.address for s in opened(tmp_path, builder.build()).loaded] == [0xFFFFFFFF81000000]


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", "is empty"), (b"\x7fEL", "not an ELF file"), (b"#!/bin/sh\n", "not an ELF file"), (b"\x7fELF", "malformed")],
)
def test_not_elf(tmp_path: Path, data: bytes, text: str) -> None:
    with pytest.raises(BadFile, match=text):
        opened(tmp_path, data)


def test_missing_and_directory(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file"):
        open_elf(str(tmp_path / "nothing"))
    with pytest.raises(BadFile, match="not a file"):
        open_elf(str(tmp_path))
    with pytest.raises(BadFile):
        open_elf("a\0b")


def test_a_path_from_a_hostile_dump_cannot_write_to_the_terminal() -> None:
    with pytest.raises(BadFile) as caught:
        open_elf("/nowhere/\x1b[2J\n")
    assert "\x1b" not in str(caught.value)


def test_missing_pyelftools_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "elftools.dwarf.dwarfinfo", None)
    builder = small()
    builder.section(".debug_info", PROGBITS, 0, b"\0" * 16)
    elf = opened(tmp_path, builder.build())
    assert elf.section(".debug_info") is not None
    with pytest.raises(KdbgError, match="pyelftools is missing for this python: install"):
        elf.dwarf()


def test_symbol_names_that_unfold_to_gigabytes(tmp_path: Path) -> None:
    builder = small()
    name = "n" * (1 << 20)
    strings = b"\0" + name.encode() + b"\0"
    entries = bytes(24) + b"".join(Sym("", 0x1000).pack(1 + offset) for offset in range(1000))
    builder.sections[2:] = [
        (".symtab", SYMTAB, 0, 0, entries, len(entries), 4),
        (".strtab", 3, 0, 0, strings, len(strings), 0),
    ]
    table = opened(tmp_path, builder.build()).symbol_table()
    with pytest.raises(BadFile, match="unfold"):
        table.by_name("x")


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return a copy with a few words of its headers replaced, or cut."""
    result = bytearray(data)
    tables = [(0, 64), (64, 64 + 56 * 3), (len(data) - 64 * 6, len(data)), (0, len(data))]
    for _ in range(chance.choice((1, 1, 2, 4))):
        start, end = chance.choice(tables)
        place = chance.randrange(start, end)
        if chance.random() < 0.15:
            return bytes(result[:place])
        words = (b"\xff" * 8, bytes(8), b"\xff" * 4, struct.pack("<Q", 1 << 62), chance.randbytes(8), b"\x7f")
        word = chance.choice(words)
        result[place : place + len(word)] = word
    return bytes(result[: len(data)])


def use(elf: ElfFile) -> None:
    """Call everything that reads the file."""
    for part in (lambda: elf.sections, elf.notes, elf.dynamic, elf.build_id, elf.dwarf, lambda: elf.loaded):
        part()
    table = elf.symbol_table()
    list(table)
    table.by_name("start")
    for place in (0, 0x1000, 0x1040, 0x10FF):
        table.at(place)
        table.nearest(place)
        table.next_after(place)
    elf.read(0x1000, 0x100)
    elf.section_bytes(".text")


def test_damaged_copies_raise_nothing_but_bad_file_and_memory_fault(tmp_path: Path) -> None:
    data = small().build()
    chance = random.Random(2653)
    refused = 0
    for number in range(500):
        path = tmp_path / f"{number}.elf"
        path.write_bytes(damaged(data, chance))
        try:
            use(open_elf(str(path)))
        except (BadFile, MemoryFault):
            refused += 1
    assert 50 < refused < 450


def test_a_cut_core_keeps_its_segments(tmp_path: Path) -> None:
    builder = Builder(type=CORE)
    builder.segment(LOAD, 0x1000, CODE * 4)
    builder.section("load", PROGBITS, 0x1000, b"", ALLOC)
    elf = opened(tmp_path, builder.build()[: 64 + 56 + 100])
    assert elf.read(0x1000, 64) == CODE
    with pytest.raises(MemoryFault):
        elf.read(0x1000, 256)
    with pytest.raises(BadFile):
        assert elf.sections
