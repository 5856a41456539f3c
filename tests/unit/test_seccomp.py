"""Filters of seccomp(2), computed as the kernel does."""

from __future__ import annotations

import struct

import pytest

from gdb_kdbg.seccomp import SystemCall, is_allowed

ALLOW, LOG, KILL, ERRNO = 0x7FFF0000, 0x7FFC0000, 0x80000000, 0x00050001
NUMBER, ARCHITECTURE, PLACE, FIRST, SECOND = 0, 4, 8, 16, 24
X86_64 = 0xC000003E
MMAP = SystemCall("mmap", 9, (0x7000_0000_0000, 4096, 3, 0x22, -1, 0))
GETPID = SystemCall("getpid", 39, ())


def step(code: int, constant: int = 0, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, constant & 0xFFFFFFFF)


def load(offset: int) -> bytes:
    return step(0x20, offset)


def answer(value: int) -> bytes:
    return step(0x06, value)


def only(number: int, otherwise: int) -> bytes:
    return load(NUMBER) + step(0x15, number, 0, 1) + answer(ALLOW) + answer(otherwise)


@pytest.mark.parametrize("otherwise", [KILL, ERRNO, 0, 0x7FC00000, 0x7FF00000])
def test_a_call_that_is_not_on_the_list_is_refused(otherwise: int) -> None:
    assert is_allowed([only(39, otherwise)], GETPID, 0x1000)
    assert not is_allowed([only(39, otherwise)], MMAP, 0x1000)


def test_all_filters_must_agree() -> None:
    assert is_allowed([answer(ALLOW), answer(LOG)], MMAP, 0)
    assert not is_allowed([answer(ALLOW), only(39, KILL)], MMAP, 0)
    assert is_allowed([], MMAP, 0)


def test_architecture_place_and_arguments_are_seen() -> None:
    assert is_allowed([load(ARCHITECTURE) + step(0x15, X86_64, 0, 1) + answer(ALLOW) + answer(KILL)], MMAP, 0)
    place = load(PLACE) + step(0x35, 0x1000, 0, 1) + answer(ALLOW) + answer(KILL)
    assert is_allowed([place], MMAP, 0x1000) and not is_allowed([place], MMAP, 0xFFF)
    upper = load(FIRST + 4) + step(0x15, 0x7000, 0, 1) + answer(ALLOW) + answer(KILL)
    assert is_allowed([upper], MMAP, 0) and not is_allowed([upper], GETPID, 0)
    minus_one = load(FIRST + 4 * 8) + step(0x15, -1, 0, 1) + answer(ALLOW) + answer(KILL)
    assert is_allowed([minus_one], MMAP, 0) and not is_allowed([minus_one], GETPID, 0)


def test_arithmetic_memory_and_the_index_register() -> None:
    # ((size >> 4) & 0xff | 1) * 3 - 2, kept in memory and in X, is 1 for 4096 and 4 for 16.
    work = load(SECOND) + step(0x74, 4) + step(0x54, 0xFF) + step(0x44, 1) + step(0x24, 3) + step(0x14, 2)
    work += step(0x02, 5) + step(0x00, 7) + step(0x61, 5) + step(0x00, 1)
    for test in (work + step(0x1D, 0, 0, 1), work + step(0x07) + step(0x87) + step(0x15, 1, 0, 1)):
        program = test + answer(ALLOW) + answer(KILL)
        assert is_allowed([program], MMAP, 0)
    assert is_allowed([work + step(0x1D, 0, 0, 1) + answer(ALLOW) + answer(KILL)], MMAP, 0)
    small = MMAP._replace(arguments=(0, 0x20))
    assert not is_allowed([work + step(0x1D, 0, 0, 1) + answer(ALLOW) + answer(KILL)], small, 0)
    length = step(0x80) + step(0x15, 64, 0, 1) + answer(ALLOW) + answer(KILL)
    assert is_allowed([length], GETPID, 0)
    assert is_allowed([step(0x05, 1) + answer(KILL) + step(0x00, ALLOW) + step(0x16)], GETPID, 0)
    assert not is_allowed([load(NUMBER) + step(0x45, 32, 1, 0) + answer(ALLOW) + answer(KILL)], GETPID, 0)


@pytest.mark.parametrize(
    "program",
    [b"", load(NUMBER), step(0x05, 50) + answer(ALLOW), load(62) + answer(ALLOW), step(0x34, 0) + answer(ALLOW),
     answer(ALLOW)[:7], step(0x02, 99) + answer(ALLOW), step(0xE4, 1) + answer(ALLOW), step(0x20, 200) + answer(ALLOW)],
)  # fmt: skip
def test_what_no_kernel_would_take_allows_nothing(program: bytes) -> None:
    assert not is_allowed([program], GETPID, 0)
