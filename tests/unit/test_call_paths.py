"""Where a register got its value: kept, loaded, copied, computed; sure only where nothing else can have set it."""

from __future__ import annotations

from typing import Mapping, Optional

import pytest

from gdb_kdbg.call_paths import Load, Path
from gdb_kdbg.disassembly import decode, whole_register
from gdb_kdbg.units import Address

CODE = 0x1000
WORDS = {0x2000: 0x7000, 0x7018: 0xABCD}


def path(code: str, registers: Optional[Mapping[str, int]] = None, upto: Optional[int] = None) -> Path:
    """The instructions of some bytes, with the last (or the one at index `upto`) as the one of interest."""
    function = decode(bytes.fromhex(code), Address(CODE))
    return Path(function if upto is None else function[: upto + 1], registers or {}, WORDS.get, function)


def only(path: Path) -> Load:
    (load,) = path.loads()
    return load


def test_a_call_through_memory_reads_it_itself() -> None:
    load = only(path("ff15fa0f0000"))  # call [rip + 0xffa]
    assert (load.place, load.is_sure, load.instruction.is_call) == (0x2000, True, True)


def test_an_indexed_call_is_computed_from_the_registers() -> None:
    load = only(path("ff14ca", {"rdx": 0x3000, "rcx": 2}))  # call [rdx + rcx * 8]
    assert load.place == 0x3010
    assert only(path("ff14ca", {"rdx": 0x3000})).place is None


def test_a_register_is_traced_to_its_load() -> None:
    load = only(path("488b05f90f0000ffd0"))  # mov rax, [rip + 0xff9]; call rax
    assert (load.place, load.is_sure, load.instruction.mnemonic) == (0x2000, True, "mov")


def test_a_copied_register_is_traced_to_the_load_of_the_other() -> None:
    load = only(path("488b15f90f00004889d0ffd0"))  # mov rdx, [...]; mov rax, rdx; call rax
    assert (load.place, load.is_sure) == (0x2000, True)


def test_a_base_that_was_overwritten_is_read_again() -> None:
    load = only(path("488b05f90f0000488b4018ffd0"))  # mov rax, [...]; mov rax, [rax + 0x18]; call rax
    assert load.place == 0x7018


def test_a_base_that_was_computed_is_computed_again() -> None:
    load = only(path("488d05f90f0000488b4008ffd0"))  # lea rax, [0x2000]; mov rax, [rax + 8]; call rax
    assert load.place == 0x2008
    load = only(path("31c0488b8000200000ffd0"))  # xor eax, eax; mov rax, [rax + 0x2000]; call rax
    assert load.place == 0x2000
    load = only(path("b800200000488b00ffd0"))  # mov eax, 0x2000; mov rax, [rax]; call rax
    assert load.place == 0x2000


def test_sums_and_shifts_are_computed() -> None:
    code = "488d05f90f00004883c0104829c848c1e2044801d0488b00ffd0"
    # lea rax, [0x2000]; add rax, 0x10; sub rax, rcx; shl rdx, 4; add rax, rdx; mov rax, [rax]; call rax
    assert only(path(code, {"rcx": 8, "rdx": 0x20})).place == 0x2000 + 0x10 - 8 + 0x20
    assert only(path(code, {"rcx": 8})).place is None


def test_what_was_kept_on_the_stack_is_traced_to_its_load() -> None:
    # mov rax, [rip + ...]; mov [rbp - 8], rax; mov rdx, [rbp - 8]; call rdx
    load = only(path("488b05f90f0000488945f8488b55f8ffd2", {"rbp": 0x5000}))
    assert (load.place, load.is_sure) == (0x2000, True)
    # Saved in a second place as well, with a jump between:
    # mov [rbp - 8], rax; je +4; mov [rbp - 8], rcx; call [rbp - 8]
    loads = path("488b05f90f0000488945f8740448894df8ff55f8", {"rbp": 0x5000}).loads()
    assert [(load.place, load.is_sure) for load in loads] != [(0x2000, True)]


def test_a_local_variable_that_was_never_stored_to_is_where_it_is() -> None:
    load = only(path("488b55f8ffd2", {"rbp": 0x5000}))
    assert load.place == 0x4FF8
    pushed = only(path("4889042450488b1424ffd2", {"rsp": 0x5000}))  # mov [rsp], rax; push rax; mov rdx, [rsp]
    assert pushed.place == 0x5000


def test_a_value_that_is_no_load_has_none() -> None:
    assert path("b800200000ffd0").loads() == ()  # mov eax, 0x2000; call rax
    assert path("4801c8ffd0").loads() == ()  # add rax, rcx; call rax


def test_what_a_call_clobbers_is_not_traced_through_it() -> None:
    code = "488b05f90f0000e800000000ffd0"  # mov rax, [...]; call next; call rax
    assert path(code).loads() == ()
    kept = "488b1df90f0000e800000000ffd3"  # the same with rbx
    assert only(path(kept)).is_sure


def test_a_jump_to_between_load_and_use_makes_it_unsure() -> None:
    # je 2f; mov rax, [0x2000]; jmp 3f; 2: mov rax, [0x3000]; 3: call rax
    loads = path("7409488b05f70f0000eb07488b05ee1f0000ffd0").loads()
    assert [(load.place, load.is_sure) for load in loads] == [(0x2000, False), (0x3000, False)]


def test_a_register_set_once_in_its_function_is_sure_in_a_loop() -> None:
    code = "488b1df90f0000ffd3ffcd75fa"  # mov rbx, [...]; 1: call rbx; dec ebp; jnz 1b
    assert only(path(code, upto=1)).is_sure
    twice = "488b1df90f0000ffd3488b1df01f000075f5"  # and reloaded at the end of the loop
    assert [load.is_sure for load in path(twice, upto=1).loads()] == [False, False]


def test_code_behind_a_jump_away_is_reached_from_elsewhere() -> None:
    assert not path("488b05f90f0000c3ffd0").loads()[0].is_sure  # mov rax, [...]; ret; call rax


@pytest.mark.parametrize(
    ("part", "whole"),
    [("al", "rax"), ("ah", "rax"), ("ax", "rax"), ("eax", "rax"), ("sil", "rsi"), ("edi", "rdi"), ("bp", "rbp"),
     ("r8b", "r8"), ("r15d", "r15"), ("r10w", "r10"), ("rsp", "rsp"), ("xmm0", "xmm0")],
)  # fmt: skip
def test_parts_of_registers(part: str, whole: str) -> None:
    assert whole_register(part) == whole


# Each stores 16 bytes and calls through 8 of them; the place is what those were loaded from.
PAIRS = {
    "movdqa xmm0, [0x2000]; movaps [rsp], xmm0; call [rsp + 8]": ("660f6f0425002000000f290424ff542408", 0x2008),
    "movq xmm0, [0x2000]; movhps xmm0, [0x2100]; movaps [rsp], xmm0; call [rsp]": (
        "f30f7e0425002000000f160425002100000f290424ff1424", 0x2000,
    ),
    "movq xmm0, [0x2000]; movhps xmm0, [0x2100]; movaps [rsp], xmm0; call [rsp + 8]": (
        "f30f7e0425002000000f160425002100000f290424ff542408", 0x2100,
    ),
    "movq xmm0, [0x2000]; movq xmm1, [0x2100]; punpcklqdq xmm0, xmm1; movups [rsp], xmm0; call [rsp + 8]": (
        "f30f7e042500200000f30f7e0c2500210000660f6cc10f110424ff542408", 0x2100,
    ),
    "mov rax, [0x2100]; movq xmm0, [0x2000]; pinsrq xmm0, rax, 1; movups [rsp], xmm0; call [rsp + 8]": (
        "488b042500210000f30f7e04250020000066480f3a22c0010f110424ff542408", 0x2100,
    ),
    "vmovdqu ymm1, [0x2000]; vmovdqu [rsp], ymm1; call [rsp + 24]": ("c5fe6f0c2500200000c5fe7f0c24ff542418", 0x2018),
    "movdqa xmm0, [0x2000]; movaps [rsp], xmm0; mov rax, [rsp + 8]; call rax": (
        "660f6f0425002000000f290424488b442408ffd0", 0x2008,
    ),
    "movdqa xmm2, [0x2000]; movaps xmm0, xmm2; movaps [rbp - 16], xmm0; call [rbp - 8]": (
        "660f6f1425002000000f28c20f2945f0ff55f8", 0x2008,
    ),
}  # fmt: skip
# The same, but what the half was loaded from is not known: it is 0, was computed, lost in a call, or not stored.
NO_PAIRS = {
    "movq xmm0, [0x2000]; movaps [rsp], xmm0; call [rsp + 8]": "f30f7e0425002000000f290424ff542408",
    "movdqa xmm0, [0x2000]; paddq xmm0, xmm1; movaps [rsp], xmm0; call [rsp + 8]": (
        "660f6f042500200000660fd4c10f290424ff542408"
    ),
    "movdqa xmm0, [0x2000]; call rbx; movaps [rsp], xmm0; call [rsp + 8]": "660f6f042500200000ffd30f290424ff542408",
    "movdqa xmm0, [0x2000]; movaps [rsp], xmm0; call [rsp + 16]": "660f6f0425002000000f290424ff542410",
}
STACK = {"rsp": 0x8000, "rbp": 0x8010}


@pytest.mark.parametrize("text", PAIRS)
def test_one_half_of_a_vector_register_is_traced_to_its_load(text: str) -> None:
    code, place = PAIRS[text]
    load = only(path(code, STACK))
    assert (load.place, load.is_sure) == (place, True)


@pytest.mark.parametrize("text", NO_PAIRS)
def test_a_half_of_unknown_origin_was_read_from_the_stack(text: str) -> None:
    place = only(path(NO_PAIRS[text], STACK)).place
    assert place is not None and place >= STACK["rsp"]


def test_what_was_changed_on_the_stack_was_read_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    code, place = PAIRS["movdqa xmm0, [0x2000]; movaps [rsp], xmm0; call [rsp + 8]"]
    for held, found in ((0x1111, place), (0x2222, STACK["rsp"] + 8)):
        monkeypatch.setitem(WORDS, place, 0x1111)
        monkeypatch.setitem(WORDS, STACK["rsp"] + 8, held)
        assert only(path(code, STACK)).place == found
