"""function_starts.py: bounds of functions from call frame information built by hand, whole and broken."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Optional, Sequence

import pytest
from elf_builder import LOAD, PROGBITS, Builder

from gdb_kdbg.elf import ElfFile, open_elf
from gdb_kdbg.errors import BadFile
from gdb_kdbg.function_starts import eh_frame, function_at

GNU_EH_FRAME = 0x6474E550
BASE, HEADER, FRAMES = 0x1000, 0x2000, 0x2100
FUNCTIONS = ((0x1000, 0x40), (0x1040, 0x10), (0x1080, 0x100))


def common(augmentation: bytes = b"zR\0", data: bytes = b"\x01\x1b") -> bytes:
    """A CIE; 0x1b are pc-relative pointers of four bytes."""
    body = struct.pack("<IB", 0, 1) + augmentation + b"\x01\x78\x10" + data
    return struct.pack("<I", len(body)) + body


def frames(functions: Sequence[tuple[int, int]], address: int = FRAMES) -> tuple[bytes, list[int]]:
    """Return .eh_frame and the address of each function's entry."""
    data, entries = common(), []
    for start, size in functions:
        place = address + len(data)
        entries.append(place)
        body = struct.pack("<IiI", len(data) + 4, start - (place + 8), size) + b"\0\0\0\0"
        data += struct.pack("<I", len(body)) + body
    return data + bytes(4), entries


def header(functions: Sequence[tuple[int, int]], entries: Sequence[int], count: Optional[int] = None) -> bytes:
    pairs = b"".join(struct.pack("<ii", f[0] - HEADER, e - HEADER) for f, e in zip(functions, entries))
    count = len(functions) if count is None else count
    return bytes((1, 0x1B, 0x03, 0x3B)) + struct.pack("<iI", FRAMES - HEADER - 4, count) + pairs


def file_of(folder: Path, head: Optional[bytes], contents: bytes, with_section: bool = False) -> ElfFile:
    builder = Builder()
    memory = bytearray(0x1400)
    memory[HEADER - BASE : HEADER - BASE + len(head or b"")] = head or b""
    memory[FRAMES - BASE : FRAMES - BASE + len(contents)] = contents
    builder.segment(LOAD, BASE, bytes(memory))
    if head is not None:
        builder.segment(GNU_EH_FRAME, HEADER, head)
    if with_section:
        builder.section(".eh_frame", PROGBITS, FRAMES, contents)
    path = folder / "file"
    path.write_bytes(builder.build())
    return open_elf(str(path))


def bounds(elf: ElfFile, address: int) -> Optional[tuple[int, int]]:
    found = function_at(elf, address)
    return tuple(found) if found else None


def check(elf: ElfFile) -> None:
    for start, size in FUNCTIONS:
        assert bounds(elf, start) == bounds(elf, start + size - 1) == (start, start + size)
    assert bounds(elf, 0xFFF) is None
    assert bounds(elf, 0x1050) is None, "between two functions"
    assert bounds(elf, 0x1180) is None


def test_the_table_is_found_without_section_headers(tmp_path: Path) -> None:
    data, entries = frames(FUNCTIONS)
    elf = file_of(tmp_path, header(FUNCTIONS, entries), data)
    check(elf)
    table = eh_frame(elf)
    assert table is not None and table.has_table
    assert eh_frame(elf) is table, "read once"


def test_without_a_table_the_entries_are_walked(tmp_path: Path) -> None:
    elf = file_of(tmp_path, None, frames(FUNCTIONS)[0], with_section=True)
    check(elf)
    table = eh_frame(elf)
    assert table is not None and not table.has_table


def test_a_file_without_call_frames(tmp_path: Path) -> None:
    elf = file_of(tmp_path, None, b"")
    assert eh_frame(elf) is None
    assert function_at(elf, 0x1000) is None


@pytest.mark.parametrize("count", [0, 2, 4, 0xFFFFFFFF])
def test_the_count_is_not_believed(tmp_path: Path, count: int) -> None:
    data, entries = frames(FUNCTIONS)
    elf = file_of(tmp_path, header(FUNCTIONS, entries, count), data)
    assert bounds(elf, 0x1000) == ((0x1000, 0x1040) if count else None)


def test_an_unknown_format_of_the_table_is_no_table(tmp_path: Path) -> None:
    data, entries = frames(FUNCTIONS)
    head = bytearray(header(FUNCTIONS, entries))
    head[3] = 0x1B
    elf = file_of(tmp_path, bytes(head), data, with_section=True)
    check(elf)


@pytest.mark.parametrize("entry", [FRAMES - 0x2000, FRAMES + 0x800, 0x7FFFFFFF, FRAMES, FRAMES + 1])
def test_entries_that_lead_elsewhere_have_no_bounds(tmp_path: Path, entry: int) -> None:
    data, _ = frames(FUNCTIONS)
    elf = file_of(tmp_path, header(FUNCTIONS[:1], [entry]), data)
    assert function_at(elf, 0x1000) is None


def test_a_header_that_leads_out_of_the_file_is_one_error(tmp_path: Path) -> None:
    data, entries = frames(FUNCTIONS)
    head = bytearray(header(FUNCTIONS, entries))
    head[4:8] = struct.pack("<i", 0x7000000)
    with pytest.raises(BadFile, match="which is in no segment"):
        function_at(file_of(tmp_path, bytes(head), data), 0x1000)


def test_every_broken_byte_gives_an_answer_or_bad_file(tmp_path: Path) -> None:
    data, entries = frames(FUNCTIONS)
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0xFF
        folder = tmp_path / str(place)
        folder.mkdir()
        elf = file_of(folder, header(FUNCTIONS, entries), bytes(broken))
        for address in (0x1000, 0x1045, 0x1100):
            try:
                found = function_at(elf, address)
            except BadFile:
                continue
            assert found is None or found.start <= address < found.end
