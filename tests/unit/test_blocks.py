"""Small pieces are read in few blocks, and what cannot be read hides nothing else."""

from __future__ import annotations

import pytest
from fakes import FakeMemory
from hypothesis import given
from hypothesis import strategies as st

from gdb_kdbg.blocks import MERGE_SPAN, read_available, read_pieces, read_words
from gdb_kdbg.errors import MemoryFault
from gdb_kdbg.units import Address, Size

PAGE = 4096


def piece(address: int, size: int = 8) -> tuple[Address, Size]:
    return Address(address), Size(size)


def counting(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(size))


def test_near_pieces_are_read_together() -> None:
    memory = FakeMemory({0x1000: counting(PAGE)})
    pieces = read_pieces(memory, [piece(0x1000), piece(0x1100, 4), piece(0x1010, 1)])
    assert len(memory.reads) == 1
    assert pieces == {0x1000: counting(8), 0x1100: counting(0x104)[0x100:], 0x1010: counting(17)[16:]}


def test_far_pieces_are_read_apart() -> None:
    memory = FakeMemory({0x1000: counting(PAGE), 0x9000: counting(PAGE)})
    assert read_pieces(memory, [piece(0x1000), piece(0x9000)]) == {0x1000: counting(8), 0x9000: counting(8)}
    assert len(memory.reads) == 2


def test_pieces_that_span_exactly_a_packet_are_read_together() -> None:
    memory = FakeMemory({0: counting(PAGE)})
    read_pieces(memory, [piece(0), piece(MERGE_SPAN - 8)])
    assert memory.reads == [(0, MERGE_SPAN)]
    read_pieces(memory, [piece(0), piece(MERGE_SPAN - 7)])
    assert len(memory.reads) == 3


def test_no_block_is_wider_than_a_packet() -> None:
    memory = FakeMemory({0: counting(4 * PAGE)})
    read_pieces(memory, [piece(start) for start in range(0, 3 * PAGE, 64)])
    assert all(size <= MERGE_SPAN for _, size in memory.reads)
    assert len(memory.reads) == 3 * PAGE // MERGE_SPAN


def test_a_piece_larger_than_a_packet_is_still_read() -> None:
    memory = FakeMemory({0: counting(PAGE)})
    assert read_pieces(memory, [piece(0, PAGE)]) == {0: counting(PAGE)}


def test_a_piece_asked_for_twice_is_read_once() -> None:
    memory = FakeMemory({0x1000: counting(16)})
    assert read_pieces(memory, [piece(0x1000), piece(0x1000)]) == {0x1000: counting(8)}
    assert len(memory.reads) == 1


def test_an_unreadable_piece_is_none_and_hides_no_other() -> None:
    memory = FakeMemory({0x1000: counting(16)})
    assert read_pieces(memory, [piece(0x1000), piece(0x1008), piece(0x1100)]) == {
        0x1000: counting(8),
        0x1008: counting(16)[8:],
        0x1100: None,
    }


def test_nothing_wanted_reads_nothing() -> None:
    memory = FakeMemory()
    assert read_pieces(memory, []) == {}
    assert memory.reads == []


@given(st.lists(st.tuples(st.integers(0, 12_000), st.integers(1, 64)), max_size=12, unique_by=lambda pair: pair[0]))
def test_merging_changes_no_byte(wanted: list[tuple[int, int]]) -> None:
    # A hole in the middle: what lies in it cannot be read, everything else can.
    memory = FakeMemory({0: counting(PAGE), 2 * PAGE: counting(PAGE)})
    for address, data in read_pieces(memory, [piece(*pair) for pair in wanted]).items():
        try:
            assert data == memory.peek(address, dict(wanted)[address])
        except MemoryFault:
            assert data is None


def test_available_memory_is_read_in_one_block() -> None:
    memory = FakeMemory({0x1000: counting(PAGE)})
    assert read_available(memory, Address(0x1010), Size(64)) == counting(PAGE)[16:80]
    assert len(memory.reads) == 1


def test_memory_is_available_up_to_the_page_that_is_missing() -> None:
    memory = FakeMemory({PAGE: counting(2 * PAGE)})
    assert read_available(memory, Address(PAGE + 8), Size(3 * PAGE)) == counting(2 * PAGE)[8:]


def test_of_a_missing_page_nothing_is_available() -> None:
    assert read_available(FakeMemory(), Address(0x1000), Size(8)) == b""


def test_words_are_little_endian_and_read_in_one_block() -> None:
    memory = FakeMemory({0x1000: bytes(range(1, 17))})
    assert read_words(memory, Address(0x1000), 2) == (0x0807060504030201, 0x100F0E0D0C0B0A09)
    assert len(memory.reads) == 1


def test_words_are_read_whole_or_not_at_all() -> None:
    memory = FakeMemory({0x1000: bytes(12)})
    with pytest.raises(MemoryFault, match="cannot access 16 bytes at 0x1000"):
        read_words(memory, Address(0x1000), 2)
