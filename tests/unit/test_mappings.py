"""The mappings of a process, and the room between them."""

from __future__ import annotations

from gdb_kdbg.mappings import HIGHEST, LOWEST, PAGE, REACH, Mapping, free_places, parse_mappings
from gdb_kdbg.ranges import Range
from gdb_kdbg.units import Address, Size

MAPS = """\
00400000-00401000 r--p 00000000 fe:00 2238721                            /usr/bin/a program (deleted)
00401000-00402000 r-xp 00001000 fe:00 2238721                            /usr/bin/a program (deleted)
01000000-01021000 rw-p 00000000 00:00 0                                  [heap]
7ffff7dd3000-7ffff7df9000 r--p 00000000 fe:00 339380                     /usr/lib/libc.so.6
7ffff7ff0000-7ffff7ff1000 rw-p 00000000 00:00 0
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
nonsense
"""
SIZE = 0x2A000


def near(start: int, size: int = 64) -> Range:
    return Range(Address(start), Size(size))


def test_lines_are_parsed() -> None:
    found = parse_mappings(MAPS)
    assert len(found) == 7
    assert found[0] == Mapping(0x400000, 0x401000, "r--p", 0, "/usr/bin/a program (deleted)")
    assert found[4].name == "" and found[2].name == "[heap]"


def test_room_is_below_before_it_is_above() -> None:
    mappings = parse_mappings(MAPS)
    places = free_places(mappings, near(0x401020), SIZE)
    assert places[0] == 0x400000 - PAGE - SIZE and places[1] == 0x402000 + PAGE
    assert free_places(mappings, near(0x7FFFF7DE0000), SIZE)[0] == 0x7FFFF7DD3000 - PAGE - SIZE


def test_every_place_is_free_within_reach_and_on_a_page() -> None:
    mappings = parse_mappings(MAPS)
    for start in (0x401020, 0x7FFFF7DE0000, 0x7FFFFFFF0000, 0x5555_0000_0000):
        for place in free_places(mappings, near(start), SIZE):
            assert place % PAGE == 0 and place >= LOWEST and place + SIZE <= HIGHEST
            assert not any(m.start < place + SIZE + PAGE and place < m.end + PAGE for m in mappings)
            assert abs(place - start) <= REACH and abs(place + SIZE - start) <= REACH


def test_heap_and_stack_can_grow() -> None:
    mappings = parse_mappings(MAPS)
    places = [*free_places(mappings, near(0x401020), SIZE), *free_places(mappings, near(0x7FFFFFFE0000), SIZE)]
    assert not any(0x1021000 <= place < 0x1021000 + (64 << 20) for place in places)
    assert not any(0x7FFFFFFDE000 - (64 << 20) < place + SIZE <= 0x7FFFFFFDE000 for place in places)


def test_there_may_be_no_room() -> None:
    everything = [Mapping(LOWEST, HIGHEST, "rw-p", 0, "")]
    assert list(free_places(everything, near(0x401020), SIZE)) == []
    hole = [Mapping(LOWEST, 0x1000_0000, "", 0, ""), Mapping(0x1000_0000 + SIZE + 2 * PAGE, HIGHEST, "", 0, "")]
    assert list(free_places(hole, near(0x401020), SIZE)) == [0x1000_0000 + PAGE]
    assert list(free_places(hole, near(0x401020), SIZE + 1)) == []


def test_what_two_far_routines_reach_together_may_be_nothing() -> None:
    mappings = parse_mappings(MAPS)
    span = Range(Address(0x401020), Size(0x7FFFF7DE0000))
    assert list(free_places(mappings, span, SIZE)) == []
