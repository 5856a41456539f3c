"""Text of the target is safe to print, and numbers wrap at 64 bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdb_kdbg.units import (
    NAME_LIMIT,
    UGLY_NAME_LIMIT,
    address,
    counted,
    decoded,
    hexadecimal,
    is_kernel_half,
    safe_text,
    shown,
)


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(0, "line", "0 lines"), (1, "line", "1 line"), (1, "crash", "1 crash"), (2, "crash", "2 crashes"),
     (1234, "byte", "1,234 bytes")],
)  # fmt: skip
def test_things_are_counted_in_english(count: int, noun: str, text: str) -> None:
    assert counted(count, noun, ",") == text
    assert counted(count, noun) == text.replace(",", "")


def test_plain_text_stays_as_it_is() -> None:
    assert safe_text("ioctl:TIOCGWINSZ") == "ioctl:TIOCGWINSZ"
    assert safe_text(b"ioctl:TIOCGWINSZ") == "ioctl:TIOCGWINSZ"


def test_printable_letters_of_other_scripts_stay_as_they_are() -> None:
    assert safe_text("größe 大小") == "größe 大小"
    assert safe_text("größe 大小".encode()) == "größe 大小"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines", r"two\x0alines"),
        ("over\rwritten", r"over\x0dwritten"),
        ("a\tb", r"a\x09b"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("abc\u202ecba", r"abc\u202ecba"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        ("a\u200bb", r"a\u200bb"),
        ("line\u2028separator", r"line\u2028separator"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(hostile: str, shown: str) -> None:
    assert safe_text(hostile) == shown


@given(st.text())
def test_every_result_is_printable(text: str) -> None:
    assert safe_text(text).isprintable()


@given(st.binary())
def test_every_result_of_bytes_is_printable(raw: bytes) -> None:
    assert safe_text(raw).isprintable()


def test_bytes_that_are_no_utf8_are_shown_in_hex() -> None:
    assert safe_text(b"ok\xff\xfe") == r"ok\xff\xfe"


def test_text_ends_at_the_first_nul() -> None:
    assert safe_text(b"tag\0behind") == "tag"
    assert safe_text("tag\0behind") == "tag"


def test_text_without_a_nul_goes_to_its_end() -> None:
    assert safe_text(b"tag behind") == "tag behind"


@pytest.mark.parametrize("raw", ["a" * (1 << 20), b"a" * (1 << 20)])
def test_a_mebibyte_of_text_is_cut_at_the_limit(raw: "bytes | str") -> None:
    assert safe_text(raw) == "a" * 64 + "..."


def test_text_of_exactly_the_limit_is_not_cut() -> None:
    assert safe_text("a" * 64) == "a" * 64
    assert safe_text(b"a" * 64) == "a" * 64
    assert safe_text("abcd", limit=4) == "abcd"
    assert safe_text("abcde", limit=4) == "abcd..."


def test_a_cut_through_a_long_character_leaves_no_broken_piece() -> None:
    assert safe_text("😀".encode() * 100) == "😀" * 64 + "..."


def test_a_mebibyte_of_escapes_stays_bounded() -> None:
    assert len(safe_text(b"\x1b" * (1 << 20))) <= 64 * len("\\x1b") + 3


def test_names_that_can_be_printed_stay_as_they_are() -> None:
    name = "<alloc::vec::Vec<T> as Größe>::" + "a" * 2000
    assert shown(name) == name
    assert shown("a" * NAME_LIMIT) == "a" * NAME_LIMIT
    assert shown("a" * (NAME_LIMIT + 1)) == "a" * NAME_LIMIT + "..."


def test_names_that_cannot_be_printed_are_escaped_and_cut() -> None:
    assert shown("a\x1b[31m\n") == "a\\x1b[31m\\x0a"
    assert shown("\x1b" * 5000) == "\\x1b" * UGLY_NAME_LIMIT + "..."


def test_names_that_are_no_utf8_are_cut() -> None:
    assert decoded("Größe".encode()) == "Größe"
    assert decoded(b"a\xff") == "a\\xff"
    assert decoded(b"\xff" * 5000) == "\\xff" * UGLY_NAME_LIMIT


@pytest.mark.parametrize(("value", "text"), [(0, "0x0"), (0x28, "0x28"), (-1, "0xffffffffffffffff"), (1 << 64, "0x0")])
def test_hexadecimal_has_64_bits_and_no_leading_zeros(value: int, text: str) -> None:
    assert hexadecimal(value) == text


def test_addresses_wrap_at_64_bits() -> None:
    assert address(-8) == 0xFFFF_FFFF_FFFF_FFF8
    assert address((1 << 64) + 8) == 8
    assert address(8) == 8


def test_the_upper_half_is_the_kernels() -> None:
    assert is_kernel_half(0xFFFF_8000_0000_0000)
    assert is_kernel_half(1 << 63)
    assert not is_kernel_half(0x7FFF_FFFF_FFFF)
