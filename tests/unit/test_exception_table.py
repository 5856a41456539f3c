"""Exception tables: which fixup belongs to which instruction, in each layout."""

from __future__ import annotations

import struct
from typing import Callable, Optional

import pytest
from fakes import FakeMemory

from gdb_kdbg import exception_table
from gdb_kdbg.errors import KdbgError, MemoryFault
from gdb_kdbg.exception_table import Entry
from gdb_kdbg.ranges import Range
from gdb_kdbg.units import Address, Size

TABLE = 0xFFFF_FFFF_8200_0000
CODE = 0xFFFF_FFFF_8100_0000
PAIRS = [(CODE + 0x10, CODE + 0x80), (CODE + 0x20, CODE + 0x90), (CODE + 0x200, CODE + 0x300)]


def is_code(address: int) -> bool:
    return CODE <= address < CODE + 0x1000


def fixups(
    memory: FakeMemory, linux: Optional[Range], kit: Optional[Range], is_code: Callable[[int], bool]
) -> dict[int, int]:
    return {place: entry.fixup for place, entry in exception_table.fixups(memory, linux, kit, is_code).items()}


def memory_with(data: bytes) -> tuple[FakeMemory, Range]:
    return FakeMemory({TABLE: data}), Range(Address(TABLE), Size(len(data)))


def relative(pairs: list[tuple[int, int]], *third: int) -> bytes:
    data = b""
    for instruction, fixup in pairs:
        place = TABLE + len(data)
        data += struct.pack("<ii", instruction - place, fixup - place - 4) + struct.pack(f"<{len(third)}I", *third)
    return data


def absolute(pairs: list[tuple[int, int]], *third: int) -> bytes:
    return b"".join(struct.pack(f"<{2 + len(third)}Q", *pair, *third) for pair in pairs)


@pytest.mark.parametrize("data", [relative(PAIRS, 3), relative(PAIRS), absolute(PAIRS)], ids=["12", "8", "16"])
def test_each_layout_of_linux_is_recognized(data: bytes) -> None:
    memory, table = memory_with(data)
    assert fixups(memory, table, None, is_code) == dict(PAIRS)
    assert len(memory.reads) == 1


def handled(pairs: list[tuple[int, int]], *handlers: int) -> bytes:
    """Entries as before 5.15: the third field is the distance to the handler."""
    data = relative(pairs, 0)
    thirds = [(handlers[i % len(handlers)] - (TABLE + 12 * i + 8)) & 0xFFFFFFFF for i in range(len(pairs))]
    return b"".join(data[12 * i : 12 * i + 8] + struct.pack("<I", third) for i, third in enumerate(thirds))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 24])
def test_handlers_are_no_entries(count: int) -> None:
    pairs = [(CODE + 0x10 * index, CODE + 0x800) for index in range(count)]
    memory, table = memory_with(handled(pairs, CODE + 0x900))
    assert fixups(memory, table, None, is_code) == dict(pairs)


@pytest.mark.parametrize("count", [3, 6, 24])
def test_entries_of_8_bytes_with_one_fixup_are_not_taken_for_handlers(count: int) -> None:
    pairs = [(CODE + 0x10 * index, CODE + 0x800) for index in range(count)]
    memory, table = memory_with(relative(pairs))
    assert fixups(memory, table, None, is_code) == dict(pairs)


def test_the_kit_has_absolute_words() -> None:
    memory, table = memory_with(absolute(PAIRS, TABLE + 0x800))
    assert fixups(memory, None, table, is_code) == dict(PAIRS)


def test_both_tables_count() -> None:
    memory, linux = memory_with(relative(PAIRS[:1], 1))
    memory.map(TABLE + 0x1000, absolute(PAIRS[1:], 0))
    kit = Range(Address(TABLE + 0x1000), Size(48))
    assert fixups(memory, linux, kit, is_code) == dict(PAIRS)
    assert fixups(memory, linux, None, is_code) == dict(PAIRS[:1])


def test_no_table_has_no_fixups() -> None:
    memory = FakeMemory()
    assert fixups(memory, None, None, is_code) == {}
    assert memory.reads == []


def test_an_empty_table_has_no_fixups() -> None:
    memory, table = memory_with(b"")
    memory.map(TABLE, bytes(8))
    assert fixups(memory, table, table, is_code) == {}


def test_entries_that_are_no_code_are_left_out() -> None:
    wild = [*PAIRS, (CODE + 0x40, CODE + 0x5000), (CODE - 0x10, CODE)]
    memory, table = memory_with(relative(wild, 1))
    assert fixups(memory, table, None, is_code) == dict(PAIRS)
    memory, table = memory_with(absolute(wild, 0))
    assert fixups(memory, None, table, is_code) == dict(PAIRS)


def test_a_cut_last_entry_of_the_kit_is_dropped() -> None:
    memory, table = memory_with(absolute(PAIRS, 0)[:-8])
    assert fixups(memory, None, table, is_code) == dict(PAIRS[:2])


@pytest.mark.parametrize(
    ("third", "expected"),
    [
        (1, (1, "rax", 0, ())),
        (3, (3, "rax", 0, ())),
        (4, (4, "rax", 0, ())),
        (17 | 1 << 8 | 0xFFF2 << 16, (17, "rcx", -14, ())),
        (19 | 2 << 8 | 8 << 16, (19, "rdx", 8, ())),
        (3 | 3 << 12, (3, "rax", 0, ("rax", "rdx"))),
    ],
)
def test_what_the_handler_does_is_in_the_third_field(
    third: int, expected: tuple[int, str, int, tuple[str, ...]]
) -> None:
    memory, table = memory_with(relative(PAIRS, third))
    found = exception_table.fixups(memory, table, None, is_code)
    assert found == {place: Entry(place, fixup, *expected) for place, fixup in PAIRS}


def test_a_distance_to_a_handler_is_no_type() -> None:
    memory, table = memory_with(handled(PAIRS, CODE + 0x900))
    found = exception_table.fixups(memory, table, None, is_code)
    assert found == {place: Entry(place, fixup) for place, fixup in PAIRS}


def test_a_table_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(MemoryFault):
        fixups(FakeMemory(), Range(Address(TABLE), Size(24)), None, is_code)


def test_an_implausible_size_is_an_error_and_not_read() -> None:
    memory = FakeMemory()
    with pytest.raises(KdbgError, match="implausible exception table of 0x4000000000000000 bytes"):
        fixups(memory, None, Range(Address(TABLE), Size(1 << 62)), is_code)
    assert memory.reads == []
