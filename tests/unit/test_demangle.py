"""demangle.py, rust_names.py and rust_legacy.py: names as people write them, and names made to do harm."""

from __future__ import annotations

import time
from typing import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdb_kdbg.demangle import demangle, unfolded_size

LEGACY = "_ZN4core3ptr51drop_in_place$LT$alloc..vec..Vec$LT$$RF$str$GT$$GT$17h0123456789abcdefE"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_ZN3foo3barEi", "foo::bar(int)"),
        ("_ZNK3foo3barIcEEPKcv", "char const* foo::bar<char>() const"),
        ("_ZTV3foo", "vtable for foo"),
        ("_ZTIN3foo3barE", "typeinfo for foo::bar"),
        ("_ZThn16_N3foo3barEv", "non-virtual thunk to foo::bar()"),
        ("_ZN3fooC2Ev", "foo::foo()"),
        ("_ZZ4mainE5count", "main::count"),
    ],
)
def test_cxx(name: str, expected: str) -> None:
    assert demangle(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (LEGACY, "core::ptr::drop_in_place<alloc::vec::Vec<&str>>"),
        ("_ZN3std2io5stdio6_print17hdeadbeefdeadbeefE", "std::io::stdio::_print"),
        ("_ZN49_$LT$a..B$u20$as$u20$core..ops..Drop$LT$T$GT$$GT$4drop17hdeadbeefdeadbeefE",
         "<a::B as core::ops::Drop<T>>::drop"),
        ("_ZN1a4main28_$u7b$$u7b$closure$u7d$$u7d$17hdeadbeefdeadbeefE", "a::main::{{closure}}"),
    ],
)  # fmt: skip
def test_rust_legacy(name: str, expected: str) -> None:
    assert demangle(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_RNvC6_123foo3bar", "123foo::bar"),
        ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
        ("_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}"),
        ("_RNvMC1aNtB2_1S3new", "<a::S>::new"),
        ("_RNvXC1aNtB2_1SNtB2_1T3run", "<a::S as a::T>::run"),
        ("_RNvYhNtC1a1T3run", "<u8 as a::T>::run"),
        ("_RINvC1a1fhRaQlPeOuE", "a::f::<u8, &i8, &mut i32, *const str, *mut ()>"),
        ("_RINvC1a1fINtB2_1VhEE", "a::f::<a::V<u8>>"),
        ("_RINvC1a1fTEThEThaEShAhj4_E", "a::f::<(), (u8,), (u8, i8), [u8], [u8; 4]>"),
        ("_RINvC1a1fKb1_Kc41_Kxn2a_KpE", "a::f::<true, 'A', -42, _>"),
        ("_RINvC1a1fFhEuFUKChEaFKC_hEaFK5rust_hEaE", None),
        ("_RINvC1a1fFhEuFUKChEaFK4fastEaE", 'a::f::<fn(u8), unsafe extern "C" fn(u8) -> i8, extern "fast" fn() -> i8>'),
        ("_RMC0FG_RL0_hEu", "<for<'a> fn(&'a u8)>"),
        ("_RINbNbCskIICzLVDPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbuBiw2_3std",
         "alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>"),
        ("_RINvC1a1fDNtB2_1TNtB2_1UL_E", None),
        ("_RINvC1a1fDNtB2_1TNtB2_1UEL_E", "a::f::<dyn a::T + a::U>"),
        ("_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y", "utf8_idents::საჭმელად_გემრიელი_სადილი"),
    ],
)  # fmt: skip
def test_rust_v0(name: str, expected: str | None) -> None:
    assert demangle(name) == (name if expected is None else expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_Z3fooi.part.0", "foo(int) [clone .part.0]"),
        ("_Z3fooi.constprop.0.cold", "foo(int) [clone .constprop.0] [clone .cold]"),
        ("_Z3fooi.llvm.123", "foo(int)"),
        ("_Z3fooi.llvm.123.cold", "foo(int) [clone .cold]"),
        ("_Z3fooi@V_1", "foo(int)@V_1"),
        ("_Z3fooi@@V_1", "foo(int)@@V_1"),
        ("_Z3fooi@plt", "foo(int)@plt"),
        (f"{LEGACY}.llvm.99", "core::ptr::drop_in_place<alloc::vec::Vec<&str>>"),
        (f"{LEGACY}.cold", "core::ptr::drop_in_place<alloc::vec::Vec<&str>> [clone .cold]"),
        ("_RNvC3foo3bar.llvm.12", "foo::bar"),
        ("_RNvC3foo3bar.cold", "foo::bar [clone .cold]"),
        ("__pfx__RNvC3foo3bar", "__pfx_foo::bar"),
        ("DW.ref._ZTI1A", "DW.ref.typeinfo for A"),
        ("_GLOBAL__sub_I__ZN3foo3barE", "_GLOBAL__sub_I_foo::bar"),
    ],
)
def test_decorations(name: str, expected: str) -> None:
    assert demangle(name) == expected


@pytest.mark.parametrize(
    "name",
    ["", "main", "_Z", "_R", "_ZN", "_RNvC", "_RNvC3foo", "_Rust", "_ZNoE", "__ZN3fooE", "a_ZN3fooE", "_ZN3foo\0barE",
     "_GLOBAL__sub_I_main", "_RB_", "_RNvB_1a", "printf@GLIBC_2.2.5", "_RINvC1a1fKb2_E", "_RINvC1a1fKc110000_E",
     "_RMC0RL0_h"],
)  # fmt: skip
def test_what_is_not_mangled_stays(name: str) -> None:
    assert demangle(name) == name


def base_36(number: int) -> str:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "" if number < 0 else (base_36(number // 36) if number >= 36 else "") + digits[number % 36]


def doubling_cxx(levels: int) -> str:
    """Function types, each with the one before twice as parameter."""
    return "_Z1fFv1AE" + "".join(f"Fv{2 * f'S{base_36(level)}_'}E" for level in range(levels))


def doubling_prefix(levels: int) -> str:
    """Nested templates, each with all before as argument."""
    return "_ZN1AIiE" + "".join(f"1BIS{base_36(2 * level)}_E" for level in range(levels)) + "1fEv"


def doubling_v0(levels: int) -> str:
    text = "INvC1a1fThhE"
    back = 8
    for _ in range(levels):
        start = len(text)
        text += f"TB{base_62(back)}B{base_62(back)}E"
        back = start
    return f"_R{text}E"


def base_62(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text, number = "", number - 1
    while number >= 0:
        text, number = digits[number % 62] + text, number // 62 - (number < 62)
    return text + "_"


@pytest.mark.parametrize("make", [doubling_cxx, doubling_prefix, doubling_v0])
def test_names_that_unfold_without_end_are_left_alone(make: Callable[[int], str]) -> None:
    assert demangle(make(4)) != make(4), "a few levels are an ordinary name"
    for levels in (25, 40, 100):
        start = time.process_time()
        name = make(levels)
        assert demangle(name) == name
        assert time.process_time() - start < 2


def test_deep_and_long_names_end_at_once() -> None:
    names = ["_Z1f" + "P" * 8000 + "i", "_RINvC1a1f" + "R" * 8000 + "hE", "_RINvC1a1f" + "T" * 8000, "_R" + "Nv" * 4000,
             "_ZN" + "1a" * 4000 + "17h0123456789abcdefE", "_Z" + "St" * 4000, "_R" + "B_" * 4000, "_Z1f" + "." * 8000,
             "_Z" + "9" * 5000, "_RNvC" + "9" * 5000, "_RYhC" + "u9" * 3000]  # fmt: skip
    start = time.process_time()
    assert all(len(demangle(name)) <= 1 << 16 for name in names)
    assert time.process_time() - start < 5
    assert demangle("_Z1f" + "i" * 100_000) == "_Z1f" + "i" * 100_000


def test_the_estimate_is_never_below_the_truth() -> None:
    for levels in range(1, 9):
        for name in (doubling_cxx(levels), doubling_prefix(levels)):
            demangled = demangle(name)
            assert demangled != name
            assert unfolded_size(name) * 8 >= len(demangled)


@settings(max_examples=300, deadline=None)
@given(
    st.text("RNvtCMXYIBLKSTAFDEGpsu_0123456789abchijz.$@", max_size=80),
    st.sampled_from(["_R", "_ZN", "_Z", "DW.ref._R"]),
)
def test_nothing_else_is_raised(text: str, prefix: str) -> None:
    assert isinstance(demangle(prefix + text), str)
