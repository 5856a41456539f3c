"""What the single accesses of a call tell of it."""

from __future__ import annotations

import pytest

from gdb_kdbg.copy_breaches import BELOW_STACK, CALLERS_STACK, MISALIGNED, PAST, SOURCE_WRITTEN
from gdb_kdbg.copy_cases import MARGIN, Case
from gdb_kdbg.copy_contracts import contract_of
from gdb_kdbg.copy_trace import hidden, overread
from gdb_kdbg.emulation import DESTINATION, SOURCE, STACK_TOP, Access

CASE = Case(10, DESTINATION + MARGIN, SOURCE + MARGIN)
USER, KERNEL = 0x401000, 0xFFFF_FFFF_8100_0000


def read(address: int, size: int = 8, pc: int = USER, stack: int = STACK_TOP) -> Access:
    return Access(pc, address, size, False, stack)


def write(address: int, size: int = 8, pc: int = USER, stack: int = STACK_TOP) -> Access:
    return Access(pc, address, size, True, stack)


def kinds(*accesses: Access, known: frozenset[str] = frozenset(), is_aligned: bool = False) -> list[str]:
    return [breach.kind for breach in hidden(CASE, accesses, known, lambda pc: is_aligned)]


def test_a_plain_copy_hides_nothing() -> None:
    assert kinds(*(a for n in (0, 2) for a in (read(CASE.source + n), write(CASE.destination + n)))) == []


@pytest.mark.parametrize(("offset", "expected"), [(2, []), (3, [PAST])])
def test_bytes_behind_that_are_written_back_are_seen(offset: int, expected: list[str]) -> None:
    assert kinds(write(CASE.destination + offset)) == expected
    assert kinds(write(CASE.destination + offset), known=frozenset({PAST})) == []


def test_a_write_to_the_source_is_one_though_nothing_is_changed() -> None:
    assert kinds(write(CASE.source)) == [SOURCE_WRITTEN]
    assert kinds(read(CASE.source)) == []


@pytest.mark.parametrize(("place", "expected"), [(STACK_TOP, []), (STACK_TOP + 1, [CALLERS_STACK])])
def test_the_frame_of_the_caller_is_not_written(place: int, expected: list[str]) -> None:
    assert kinds(write(place)) == expected
    assert kinds(read(place)) == []


def test_the_home_area_of_microsoft_s_convention_is_the_routine_s_own() -> None:
    home = contract_of("memcpy", None, "dst=rcx,src=rdx,size=r8").home_area
    found = [list(hidden(CASE, [write(STACK_TOP + n)], set(), lambda pc: False, home)) for n in (8, 32, 40)]
    assert [bool(breaches) for breaches in found] == [False, False, True]
    assert contract_of("memcpy", None, "size=r8").home_area == 0


@pytest.mark.parametrize(
    ("pc", "distance", "expected"),
    [(USER, 128, []), (USER, 136, [BELOW_STACK]), (KERNEL, 8, [BELOW_STACK]), (KERNEL, 0, [])],
)
def test_what_is_kept_below_the_stack_is_lost(pc: int, distance: int, expected: list[str]) -> None:
    place = STACK_TOP - distance
    assert kinds(write(place, pc=pc), read(place, pc=pc)) == expected
    # A probe of the stack reads what nobody wrote, and what was popped again is not needed any more.
    assert kinds(read(place, pc=pc), write(place, pc=pc)) == []


def test_what_was_pushed_is_read_where_the_stack_ends() -> None:
    assert kinds(write(STACK_TOP - 8, pc=KERNEL), read(STACK_TOP - 8, pc=KERNEL, stack=STACK_TOP - 8)) == []


def test_a_vector_is_two_accesses() -> None:
    pair = (read(CASE.source + 8), read(CASE.source + 16))
    assert kinds(*pair, is_aligned=True) == [MISALIGNED]
    assert kinds(*pair, is_aligned=False) == []
    assert kinds(read(CASE.source), read(CASE.source + 8), is_aligned=True) == []


def test_how_far_the_source_is_read_over() -> None:
    assert overread(CASE, [read(CASE.source), write(CASE.destination + 90)]) == 0
    assert overread(CASE, [read(CASE.source + 8), read(CASE.source - 3)]) == 6
